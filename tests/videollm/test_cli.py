"""The command line: what goes to stdout, what to stderr, and one line for every mistake."""

import json
import logging
import re
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import videollm
from videollm.cli import main
from videollm.doctor import _tiny_clip
from videollm.errors import ModelError

ANSWER_FIELDS = {
    "answer",
    "model",
    "frames",
    "visual_tokens",
    "timings",
    "device",
    "scan_backend",
}


@dataclass
class FakeAnswer:
    answer: str
    model: str = "demo"
    frames: list[dict[str, float]] = field(default_factory=lambda: [{"index": 0, "seconds": 0.5}])
    visual_tokens: int = 16
    timings: dict[str, float] = field(default_factory=lambda: {"total": 1.0})
    device: str = "cpu"
    scan_backend: str = "cpu"
    warnings: tuple[str, ...] = ("its tags are not UTF-8",)

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "warnings"}


class FakeVideoLLM:
    """Stands for the model: notes what it is asked, and talks where it should not."""

    calls: list[tuple[Any, ...]] = []
    error: BaseException | None = None

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> "FakeVideoLLM":
        cls.calls.append(("load", name, options))
        if name == "unknown":
            raise ModelError("unknown: no such model;\n give 'demo'")
        print("a library prints")
        logging.getLogger("videollm.anything").info("a log line")
        return cls()

    def ask(self, video: str, question: str, **options: Any) -> FakeAnswer:
        assert callable(options.pop("progress"))
        self.calls.append(("ask", video, question, options))
        if self.error is not None:
            raise self.error
        return FakeAnswer("caf\u00e9")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeVideoLLM]:
    module = ModuleType("videollm.api")
    module.VideoLLM = FakeVideoLLM  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "videollm.api", module)
    monkeypatch.setattr(FakeVideoLLM, "calls", [])
    monkeypatch.setattr(FakeVideoLLM, "error", None)
    return FakeVideoLLM


@pytest.fixture
def clip(tmp_path: Path) -> str:
    path = tmp_path / "clip.mp4"
    path.write_bytes(_tiny_clip())
    return str(path)


# ask


def test_ask_prints_the_answer_alone(
    fake: type[FakeVideoLLM], clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", clip, "What is it?"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "caf\u00e9\n"
    warning = f"{clip}: its tags are not UTF-8"
    assert captured.err == f"a library prints\na log line\n{warning}\n"


def test_ask_json_is_the_answer_s_fields_and_nothing_else(
    fake: type[FakeVideoLLM], clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", clip, "What is it?", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == ANSWER_FIELDS
    assert printed == FakeAnswer("caf\u00e9").to_dict()


def test_real_answer_has_the_promised_fields() -> None:
    from videollm.api import Answer

    answer = Answer(
        answer="white",
        model="demo",
        frames=[],
        visual_tokens=0,
        timings={},
        device="cpu",
        scan_backend="cpu",
        video_backend="pyav 18.1.0",
    )
    assert set(answer.to_dict()) == ANSWER_FIELDS
    told = replace(answer, warnings=("its tags are not UTF-8",)).to_dict()
    assert set(told) == {*ANSWER_FIELDS, "warnings"}


def test_ask_passes_every_option_on(fake: type[FakeVideoLLM], clip: str) -> None:
    words = ["--model", "m", "--adapter", "a", "--device", "cpu", "--dtype", "float32"]
    words += ["--quantization", "nf4"]
    assert main(["ask", clip, "Q?", *words, "--num-frames", "4", "--max-new-tokens", "9"]) == 0
    assert main(["ask", clip, "Q?", "--fps", "2.5", "--tokens-per-frame", "2"]) == 0
    assert main(["ask", clip, "Q?", "--sampling", "scenes", "--start", "0.1", "--end", "2"]) == 0
    part = {"start_seconds": 0.1, "end_seconds": 2.0}
    no_frames = dict.fromkeys(("num_frames", "fps", "sampling", *part, "tokens_per_frame"))
    few = {"fps": 2.5, "tokens_per_frame": 2}
    plain = {"adapter": None, "quantization": None, "device": "auto", "dtype": "auto"}
    assert fake.calls == [
        ("load", "m", {"adapter": "a", "quantization": "nf4", "device": "cpu", "dtype": "float32"}),
        ("ask", clip, "Q?", {**no_frames, "num_frames": 4, "max_new_tokens": 9}),
        ("load", "demo", plain),
        ("ask", clip, "Q?", {**no_frames, **few, "max_new_tokens": 64}),
        ("load", "demo", plain),
        ("ask", clip, "Q?", {**no_frames, **part, "sampling": "scenes", "max_new_tokens": 64}),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ask", "CLIP", "  "], "the question is empty"),
        (["ask", "CLIP", "Q?", "--fps", "0"], "--fps is 0: it must be above 0"),
        (["ask", "CLIP", "Q?", "--fps", "nan"], "--fps is nan"),
        (["ask", "CLIP", "Q?", "--fps", "1", "--num-frames", "2"], "choose one"),
        (["ask", "CLIP", "Q?", "--sampling", "all"], "choose uniform, fps, keyframes, scenes"),
        (["ask", "CLIP", "Q?", "--sampling", "fps"], "say how many a second"),
        (["ask", "CLIP", "Q?", "--num-frames", "0"], "'--num-frames'"),
        (["ask", "CLIP", "Q?", "--model", "unknown"], "unknown: no such model; give 'demo'"),
        (["ask", "no-such.mp4", "Q?"], "no-such.mp4: "),
        (["ask", "TEXT", "Q?"], "text.mp4: "),
        (["ask", "CLIP"], "Missing argument 'QUESTION'; 'videollm ask --help'"),
        (["ask", "CLIP", "Q?", "--nope"], "No such option: --nope"),
        (["nope"], "No such command 'nope'"),
        (["toyworld"], "Missing command"),
        (["toyworld", "generate", "--split", "val", "--num", "0", "--output", "OUT"], "'--num'"),
        (["toyworld", "generate", "--split", "x", "--num", "1", "--output", "OUT"], "'x'"),
        (["toyworld", "generate", "--split", "val", "--num", "1", "--output", "CLIP"], "clip.mp4"),
    ],
)
@pytest.mark.usefixtures("fake")
def test_bad_input_is_one_line_and_code_2(
    words: list[str],
    message: str,
    clip: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    places = {"CLIP": clip, "TEXT": str(tmp_path / "text.mp4"), "OUT": str(tmp_path / "out")}
    before = sorted(tmp_path.iterdir())
    assert main([places.get(word, word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert sorted(tmp_path.iterdir()) == before, "nothing may be written"


def test_unreadable_video_is_refused_before_the_model_loads(fake: type[FakeVideoLLM]) -> None:
    assert main(["ask", "no-such.mp4", "Q?"]) == 2
    assert fake.calls == []


def test_interruption_is_130_and_a_defect_keeps_its_traceback(
    fake: type[FakeVideoLLM], monkeypatch: pytest.MonkeyPatch, clip: str
) -> None:
    monkeypatch.setattr(fake, "error", KeyboardInterrupt())
    assert main(["ask", clip, "Q?"]) == 130
    monkeypatch.setattr(fake, "error", ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError, match="ours"):
        main(["ask", clip, "Q?"])


# doctor, toyworld, version, help


@pytest.mark.parametrize(("works", "code"), [(True, 0), (False, 1)])
def test_doctor_prints_json_and_says_whether_the_core_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], works: bool, code: int
) -> None:
    def collect_report() -> dict[str, bool]:
        print("a compiler talks")
        return {"works": works}

    monkeypatch.setattr("videollm.doctor.collect_report", collect_report)
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == {"works": works}


def test_toyworld_writes_clips_and_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "clips"
    words = ["--split", "val", "--num", "2", "--seed", "3", "--output", str(output)]
    assert main(["toyworld", "generate", *words]) == 0
    assert capsys.readouterr().out == f"{output / 'qa.jsonl'}\n"
    lines = [json.loads(line) for line in (output / "qa.jsonl").read_text().splitlines()]
    assert len({line["video"] for line in lines}) == 2
    assert all((output / line["video"]).is_file() for line in lines)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"videollm {videollm.__version__}\n"


def test_no_words_show_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    alone = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == alone
    for command in ("ask", "chat", "serve", "eval", "pretrain", "align", "instruct", "doctor"):
        assert re.search(rf"^  {command} ", alone, re.MULTILINE)


@pytest.mark.parametrize("command", ["ask", "chat", "doctor", "toyworld", "toyworld generate"])
def test_help_has_an_example_on_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert re.search(rf"^  Example: videollm {command}", capsys.readouterr().out, re.MULTILINE)


def _child(code: str) -> tuple[str, float]:
    """Run Python code in a fresh process; return its output and its CPU seconds."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout, spent() - before


def test_help_is_instant_and_loads_nothing_heavy() -> None:
    code = """
import sys
from videollm.cli import main
main(["--help"]); main(["ask", "--help"])
print([name for name in ("torch", "transformers", "numpy", "av", "rich") if name in sys.modules])
"""
    output, seconds = _child(code)
    assert output.splitlines()[-1] == "[]"
    assert seconds < 1


def test_asking_needs_no_trainer_and_no_page() -> None:
    code = """
import sys
import videollm.api, videollm.llm, videollm.video
banned = ("transformers.trainer", "gradio", "fastapi", "datasets", "matplotlib", "tensorboard")
print([name for name in banned if name in sys.modules])
"""
    assert _child(code)[0].strip() == "[]"
