"""What lmms-eval finds: a manifest without weight, and a model that keeps its interface."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny import tiny_videollm
from videollm import VideoLLM
from videollm.errors import RequestError
from videollm.likelihood import score_continuations
from videollm.toyworld import make_scene, render_frames, write_clip

ROOT = Path(__file__).resolve().parents[2]


class _Lmms:
    """Stand in for lmms-eval's base class where it is not installed."""

    def __init__(self) -> None:
        self.task_dict: dict[str, Any] = {}
        self.cached: list[tuple[Any, ...]] = []
        self.cache_hook = SimpleNamespace(add_partial=lambda *entry: self.cached.append(entry))


class _ChatMessages:
    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self._messages = messages

    def to_hf_messages(self) -> list[dict[str, Any]]:
        return self._messages


@pytest.fixture
def lmms_model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return our module on a stand-in of lmms-eval's base; the real one has its own script."""
    for name, values in {
        "lmms_eval": {},
        "lmms_eval.api": {},
        "lmms_eval.api.model": {"lmms": _Lmms},
        "lmms_eval.protocol": {"ChatMessages": _ChatMessages},
    }.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "videollm.eval.lmms_model", raising=False)
    return importlib.import_module("videollm.eval.lmms_model")


@pytest.fixture
def llm(tiny_llm: Path, monkeypatch: pytest.MonkeyPatch) -> VideoLLM:
    model = VideoLLM(*tiny_videollm(tiny_llm), name="tiny")
    monkeypatch.setattr(VideoLLM, "from_pretrained", classmethod(lambda *_, **__: model))
    return model


@pytest.fixture
def video(tmp_path: Path) -> str:
    path = tmp_path / "v.mp4"
    write_clip(render_frames(make_scene("test_iid", 0, 0), size=32, num_frames=8), path, fps=4)
    return str(path)


GREEDY = {"max_new_tokens": 4, "temperature": 0, "until": ["\n\n"]}
DOCS = {"task": {"test": [{"n": 0}, {"n": 1}, {"n": 2}]}}


def ask_simple(module: ModuleType, visuals: list[Any], **options: Any) -> list[str]:  # noqa: ANN401
    model = module.VideoLLMForLmms("tiny", batch_size="2", **options)
    model.task_dict = DOCS
    requests = [
        SimpleNamespace(args=(f"What {n}?", dict(GREEDY), lambda _: visuals, n, "task", "test"))
        for n in range(3)
    ]
    answers = model.generate_until(requests)
    assert [entry[1][0] for entry in model.cached] == ["What 0?", "What 1?", "What 2?"]
    assert isinstance(answers, list)
    return answers


def test_simple_answers_are_those_of_the_model(
    lmms_model: ModuleType, llm: VideoLLM, video: str
) -> None:
    questions = [f"What {n}?" for n in range(3)]
    expected = llm.batch([video] * 3, questions, max_new_tokens=4, batch_size=2)
    assert ask_simple(lmms_model, [video]) == expected


def test_chat_answers_are_the_same(lmms_model: ModuleType, llm: VideoLLM, video: str) -> None:
    model = lmms_model.VideoLLMChatForLmms("tiny", batch_size=2)
    model.task_dict = DOCS

    def messages(doc: dict[str, int]) -> list[dict[str, Any]]:
        parts = [{"type": "video", "video": video}, {"type": "text", "text": f"What {doc['n']}?"}]
        return [{"role": "user", "content": parts}]

    requests = [
        SimpleNamespace(args=("", messages, dict(GREEDY), n, "task", "test")) for n in range(3)
    ]
    assert model.generate_until(requests) == ask_simple(lmms_model, [video])
    assert not model.is_simple
    assert lmms_model.VideoLLMForLmms.is_simple


def test_pictures_parts_and_no_video_are_shown(
    lmms_model: ModuleType, llm: VideoLLM, video: str
) -> None:
    model = lmms_model.VideoLLMForLmms("tiny")
    assert model._open([]) is None
    pictures = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    assert model._open(pictures).shape == (2, 6, 8, 3)
    assert model._open(pictures).dtype == np.uint8
    part = model._open([{"video": video, "video_start": 1.0, "video_end": 1.5}])
    assert 0.7 <= float(part.pts_seconds.min()) <= float(part.pts_seconds.max()) <= 1.5
    with pytest.raises(RequestError, match="shows 2 videos; one a question"):
        model._open([video, video])


def test_likelihoods_are_log_probabilities(
    lmms_model: ModuleType, llm: VideoLLM, video: str
) -> None:
    model = lmms_model.VideoLLMForLmms("tiny", batch_size=2)
    model.task_dict = DOCS
    requests = [
        SimpleNamespace(args=("What?", target, lambda _: [video], 0, "task", "test"))
        for target in ("red", lambda _: "blue")
    ]
    scored = model.loglikelihood(requests)
    ((red, blue),) = score_continuations(llm, [video], ["What?"], [["red", "blue"]])
    assert [value for value, _ in scored] == pytest.approx(
        [red.log_probability, blue.log_probability], abs=1e-4
    )
    assert all(value < 0 for value, _ in scored)


def test_an_answer_ends_where_the_task_says(lmms_model: ModuleType) -> None:
    assert lmms_model._cut("one\n\ntwo.", ("\n\n", ".")) == "one"
    assert lmms_model._cut("one", ("", "x")) == "one"


def test_rounds_and_unknown_arguments_are_refused(lmms_model: ModuleType, llm: VideoLLM) -> None:
    with pytest.raises(NotImplementedError, match="multi-round"):
        lmms_model.VideoLLMForLmms("tiny").generate_until_multi_round([])
    with pytest.raises(TypeError, match="fps"):
        lmms_model.VideoLLMForLmms("tiny", fps=1)


def test_the_entry_point_is_light() -> None:
    """lmms-eval loads every plug-in at start: ours must not load torch, nor fail."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["lmms_eval.models"]["videollm"].partition(":")
    script = (
        f"import sys; from {module} import {name}; "
        "print(sorted({'torch', 'transformers', 'av', 'lmms_eval'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
