"""Needles and other streams as benchmarks: watched once through sessions, by every policy."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.eval.paint import Silence
from tests.tiny import tiny_videollm
from videollm import VideoLLM
from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.eval.depth_map import depth_cells
from videollm.eval.evaluation import evaluate, rescore_folder
from videollm.eval.needle import SHAPES_SPEC, SPEC, NeedleTask
from videollm.eval.predictions import read_predictions
from videollm.eval.settings import EvalSettings
from videollm.eval.task import TaskSpec
from videollm.eval.toyworld import SHAPES_SPEC as SHAPE_WORLD_SPEC
from videollm.eval.toyworld import ToyWorldTask
from videollm.shapeworld import make_scene, render_frames

SMALL = {"minutes": (0.5, 1.0), "depths": 2, "budget_tokens": 48}


@pytest.fixture(scope="module")
def model(tiny_llm: Path) -> VideoLLM:
    return VideoLLM(*tiny_videollm(tiny_llm, tubelet_size=2), name="tiny")


def run(model: VideoLLM, output: Path, **changes: object) -> dict:
    values = {"tasks": ("needle",), "max_new_tokens": 2, **SMALL, **changes}
    settings = EvalSettings(**values)
    return evaluate(settings, output, progress=Silence(), load=lambda _: model)[1]


@pytest.mark.parametrize("spec", [SPEC, SHAPES_SPEC], ids=["toy", "shapes"])
def test_each_length_has_all_depths_and_the_same_needles(spec: TaskSpec) -> None:
    task = spec.build(EvalSettings(tasks=(spec.name,), minutes=(1.0, 10.0), depths=3))
    assert len({example.id for example in task.examples}) == len(task.examples)
    for minutes in ("1", "10"):
        own = [one for one in task.examples if one.groups["minutes"] == minutes]
        assert {one.groups["depth"] for one in own if "depth" in one.groups} == {"0", "50", "100"}
        assert {one.family for one in own} == set(spec.families)
    short, long = (
        [(one.family, one.question) for one in task.examples if one.groups["minutes"] == minutes]
        for minutes in ("1", "10")
    )
    assert short == long


@pytest.mark.parametrize("spec", [SPEC, SHAPES_SPEC], ids=["toy", "shapes"])
def test_the_right_answers_score(spec: TaskSpec) -> None:
    for haystack in spec.splits:
        settings = EvalSettings(tasks=(spec.name,), split=haystack, minutes=(2.0,))
        for example in spec.build(settings).examples:
            for answer in (example.answer, *example.aliases):
                assert spec.score(answer, example).correct
            assert not spec.score("a teapot at 9999 s", example).correct


@pytest.mark.parametrize("spec", [SPEC, SHAPES_SPEC], ids=["toy", "shapes"])
def test_the_report_sees_the_needle(spec: TaskSpec) -> None:
    task = spec.build(EvalSettings(tasks=(spec.name,), minutes=(10.0,), depths=2))
    clip = task.load_clip("10min-1", num_frames=8, size=32)
    assert len(clip) == 8
    assert (clip.pts_seconds >= 594).sum() == 4


def test_every_policy_sees_the_same_tokens_and_an_interrupted_run_goes_on(
    model: VideoLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = ("merge", "fifo", "uniform", "retrieve")
    results = run(model, tmp_path / "whole", policies=policies, baselines=("blind", "majority"))
    scores = results["tasks"]["needle"]
    expected = ["model", "fifo", "uniform", "retrieve", "blind", "majority"]
    assert list(scores["conditions"]) == expected
    whole = (tmp_path / "whole" / "predictions.jsonl").read_bytes()
    assert rescore_folder(tmp_path / "whole")["tasks"]["needle"] == scores
    for policy in policies[1:]:
        own = tmp_path / policy
        run(model, own, policies=(policy,), baselines=())
        alone = {one.id: one.output for one in read_predictions(own / "predictions.jsonl")}
        among = read_predictions(tmp_path / "whole" / "predictions.jsonl")
        assert alone == {one.id: one.output for one in among if one.condition == policy}
    again = tmp_path / "again"
    again.mkdir()
    (again / "settings.json").write_bytes((tmp_path / "whole" / "settings.json").read_bytes())
    (again / "predictions.jsonl").write_bytes(b"\n".join(whole.split(b"\n")[:9]) + b"\n")
    watched: list[str] = []
    stream = NeedleTask.stream

    def listen(self: NeedleTask, video: str, *, fps: float, size: int) -> Iterator[Clip]:
        watched.append(video)
        return stream(self, video, fps=fps, size=size)

    monkeypatch.setattr(NeedleTask, "stream", listen)
    run(model, again, policies=policies, baselines=("blind", "majority"))
    assert (again / "predictions.jsonl").read_bytes() == whole
    assert sorted(watched) == sorted(set(watched)), "each video is watched once"


def test_the_heat_map_has_a_cell_for_each_depth_and_length(model: VideoLLM, tmp_path: Path) -> None:
    run(model, tmp_path, baselines=("blind",))
    cells = depth_cells(read_predictions(tmp_path / "predictions.jsonl"))
    places = {(0.0, 0.5), (100.0, 0.5), (0.0, 1.0), (100.0, 1.0)}
    assert {name: set(own) for name, own in cells.items()} == {"model": places, "blind": places}
    with Image.open(tmp_path / "needle_depths.png") as picture:
        assert picture.width > 2 * 150
    facts = json.loads((tmp_path / "results.json").read_text())["tasks"]["needle"]
    assert facts["clips"] == {"source": "stream"}


def test_the_shape_worlds_long_videos_are_streamed(model: VideoLLM, tmp_path: Path) -> None:
    values = {"tasks": ("shapeworld",), "split": "test_long", "limit": 3}
    results = run(model, tmp_path, **values, questions_per_video=3)
    scores = results["tasks"]["shapeworld"]
    assert list(scores["conditions"]) == ["model", "blind", "majority"]
    assert scores["conditions"]["model"]["groups"]["minutes"].keys() == {"1"}


def test_a_long_video_is_streamed_as_it_is_drawn() -> None:
    settings = EvalSettings(tasks=("shapeworld",), split="test_long", limit=1)
    task = SHAPE_WORLD_SPEC.build(settings)
    assert isinstance(task, ToyWorldTask)
    clips = list(task.stream("0", fps=1, size=16))
    drawn = render_frames(make_scene("test_long", 0, 0), size=16, num_frames=60)
    assert torch.equal(torch.cat([clip.frames for clip in clips]), drawn.frames)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 8}, "watched as a stream"),
        ({"mp4": True}, "leave --num-frames, --sampling, --mp4 and --scoring out"),
        ({"minutes": (0.0,)}, "--minutes 0.0: give lengths above 0"),
        ({"minutes": (1.0, 1.0)}, "--minutes names 1.0 twice"),
        ({"depths": 1}, "--depths 1 is too small"),
        ({"policies": ()}, "--policies names nothing"),
        ({"policies": ("merge", "best")}, "policy is 'best'"),
        ({"budget_tokens": 4}, "raise the budget"),
    ],
)
def test_what_makes_no_sense_is_refused(
    model: VideoLLM, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        run(model, tmp_path / "none", **changes)
    assert not (tmp_path / "none").exists()
