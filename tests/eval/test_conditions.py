"""Laws of the baselines: each is shown what it should be shown, and nothing else."""

from collections.abc import Callable

import pytest
import torch

from tests.eval.paint import FakeModel
from videollm.clip import Clip
from videollm.errors import DataError
from videollm.eval.conditions import MajorityCondition, ModelCondition, build_conditions
from videollm.eval.settings import EvalSettings
from videollm.eval.task import Example, TaskSpec
from videollm.eval.views import VIEWS


def make_clip(num_frames: int) -> Clip:
    frames = torch.randint(0, 256, (num_frames, 3, 4, 4), dtype=torch.uint8)
    return Clip(frames, torch.arange(num_frames, dtype=torch.float64) / 3)


def make_example(name: str = "7", family: str = "motion") -> Example:
    return Example(id=name, family=family, video="clip", question="Where?", answer="left")


@pytest.mark.parametrize("num_frames", [1, 2, 7, 16])
def test_the_model_sees_the_clip_itself(num_frames: int) -> None:
    clip = make_clip(num_frames)
    view = VIEWS["model"](clip, "0/7")
    assert view.clip is clip
    assert view.source_seconds == pytest.approx(clip.pts_seconds.tolist(), abs=1e-6)


def test_blind_sees_nothing() -> None:
    view = VIEWS["blind"](make_clip(5), "0/7")
    assert view.clip is None
    assert view.source_seconds == ()


@pytest.mark.parametrize("num_frames", [1, 2, 7, 16])
def test_single_frame_repeats_the_middle_one_at_the_usual_times(num_frames: int) -> None:
    clip = make_clip(num_frames)
    view = VIEWS["single_frame"](clip, "0/7")
    assert view.clip is not None
    assert torch.equal(view.clip.pts_seconds, clip.pts_seconds)
    for frame in view.clip.frames:
        assert torch.equal(frame, clip.frames[num_frames // 2])
    assert len(set(view.source_seconds)) == 1
    assert len(view.source_seconds) == num_frames


@pytest.mark.parametrize("num_frames", [1, 2, 7, 16])
def test_shuffled_is_a_permutation_that_keeps_the_times(num_frames: int) -> None:
    clip = make_clip(num_frames)
    view = VIEWS["shuffled"](clip, "0/7")
    assert view.clip is not None
    assert torch.equal(view.clip.pts_seconds, clip.pts_seconds)
    times = [round(seconds, 6) for seconds in clip.pts_seconds.tolist()]
    assert sorted(view.source_seconds) == times
    order = [times.index(seconds) for seconds in view.source_seconds]
    assert torch.equal(view.clip.frames, clip.frames[order])
    assert num_frames == 1 or order != list(range(num_frames))


def test_shuffling_depends_on_item_and_seed_only() -> None:
    clip = make_clip(16)
    orders = [VIEWS["shuffled"](clip, key).source_seconds for key in ("0/7", "0/7", "0/8", "1/7")]
    assert orders[0] == orders[1]
    assert len(set(orders)) == 3


def test_views_leave_the_clip_alone() -> None:
    clip = make_clip(6)
    before = clip.frames.clone()
    for show in VIEWS.values():
        show(clip, "0/7")
    assert torch.equal(clip.frames, before)


def test_every_baseline_asks_the_same_question() -> None:
    model = FakeModel()
    example, clip = make_example(), make_clip(6)
    for name in VIEWS:
        condition = ModelCondition(name=name, model=model, seed=0, max_new_tokens=4)
        condition.answer([example], [clip])
    assert [questions for _, questions in model.calls] == [["Where?"]] * len(VIEWS)
    assert [videos[0] is None for videos, _ in model.calls] == [False, True, False, False]


def test_majority_asks_no_model_and_answers_by_family() -> None:
    counts: list[dict[str, str]] = []

    def count() -> dict[str, str]:
        counts.append({"motion": "left"})
        return counts[0]

    condition = MajorityCondition(count)
    examples = [make_example(), make_example("8", "colour")]
    replies = condition.answer(examples, [make_clip(2)] * 2)
    assert [reply.output for reply in replies] == ["left", ""]
    assert all(reply.frame_seconds == () for reply in replies)
    assert condition.answer(examples, [make_clip(2)] * 2) == replies
    assert len(counts) == 1


def test_conditions_come_in_one_order_whatever_was_asked(
    paint: TaskSpec, paint_settings: Callable[..., EvalSettings]
) -> None:
    settings = paint_settings(baselines=("majority", "blind"))
    conditions = build_conditions(
        settings,
        paint.build(settings),
        FakeModel(),
        names=settings.conditions,
        max_new_tokens=8,
    )
    assert [condition.name for condition in conditions] == ["model", "blind", "majority"]


def test_a_model_that_loses_an_answer_is_not_scored() -> None:
    model = FakeModel()
    model.batch = lambda *_args, **_options: []
    condition = ModelCondition(name="blind", model=model, seed=0, max_new_tokens=4)
    with pytest.raises(DataError, match="0 answers to 1 questions"):
        condition.answer([make_example()], [make_clip(2)])
