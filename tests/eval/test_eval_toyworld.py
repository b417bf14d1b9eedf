"""Laws of the toy-world benchmark: the same items always, none of them trained, none peeked at."""

from collections import Counter
from dataclasses import replace

import av
import pytest
import torch

from videollm.errors import RequestError
from videollm.eval import toyworld
from videollm.eval.benchmarks import BENCHMARKS
from videollm.eval.settings import EvalSettings
from videollm.eval.toyworld import SPEC, ToyWorldTask
from videollm.toyworld import make_questions, make_scene, render_frames
from videollm.worlds import WORLDS


@pytest.mark.parametrize("split", ["test_iid", "test_compositional", "test_paraphrase", "val"])
def test_items_are_the_first_of_their_split(split: str) -> None:
    task = ToyWorldTask(EvalSettings(split=split, limit=13, questions_per_video=4, seed=3))
    expected = [
        (str(index), question.prompt, question.answer)
        for index in range(4)
        for question in make_questions(make_scene(split, index, 3), split, count=4, seed=3)
    ]
    assert [(e.video, e.question, e.answer) for e in task.examples] == expected[:13]
    assert len({example.id for example in task.examples}) == 13
    again = ToyWorldTask(EvalSettings(split=split, limit=13, questions_per_video=4, seed=3))
    assert again.examples == task.examples


def test_a_longer_run_begins_with_the_shorter_one() -> None:
    short, long = (ToyWorldTask(EvalSettings(limit=limit)).examples for limit in (7, 40))
    assert list(long[:7]) == list(short)


def test_another_seed_asks_other_questions() -> None:
    one, two = (ToyWorldTask(EvalSettings(limit=20, seed=seed)).examples for seed in (0, 1))
    assert [example.question for example in one] != [example.question for example in two]


def test_families_are_kept_alone_and_the_limit_is_reached() -> None:
    task = ToyWorldTask(EvalSettings(limit=30, families=("motion", "order")))
    assert len(task.examples) == 30
    assert {example.family for example in task.examples} == {"motion", "order"}


def test_captions_come_only_when_asked_for() -> None:
    families = Counter(e.family for e in ToyWorldTask(EvalSettings(limit=300)).examples)
    assert set(families) == set(SPEC.families) - {"caption"}
    asked = ToyWorldTask(EvalSettings(limit=3, families=("caption",)))
    assert [example.family for example in asked.examples] == ["caption"] * 3


def test_a_family_that_no_scene_offers_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    mute = replace(WORLDS["toy"], ask=lambda *_args, **_options: [])
    monkeypatch.setitem(toyworld.WORLDS, "toy", mute)
    monkeypatch.setattr(toyworld, "_MAX_MUTE_SCENES", 5)
    with pytest.raises(RequestError, match="5 scenes of test_iid in a row offer no question"):
        ToyWorldTask(EvalSettings(families=("order",)))


def test_the_clip_is_the_scene_of_its_questions() -> None:
    task = ToyWorldTask(EvalSettings(limit=6, seed=2))
    clip = task.load_clip("1", num_frames=8, size=32)
    drawn = render_frames(make_scene("test_iid", 1, 2), size=32, num_frames=8)
    assert torch.equal(clip.frames, drawn.frames)
    assert torch.equal(clip.pts_seconds, drawn.pts_seconds)
    assert task.describe_clips() == {"source": "memory"}


@pytest.mark.parametrize("num_frames", [4, 16])
def test_through_a_file_the_clip_keeps_its_times_and_almost_its_pixels(num_frames: int) -> None:
    task = ToyWorldTask(EvalSettings(limit=3, mp4=True))
    clip = task.load_clip("0", num_frames=num_frames, size=64)
    drawn = render_frames(make_scene("test_iid", 0, 0), size=128, times=clip.pts_seconds.tolist())
    assert len(clip) == num_frames
    assert clip.pts_seconds.diff().min() > 0
    error = (clip.frames.float() - drawn.frames.float()).abs().mean()
    assert 0 < error < 6  # chroma at half resolution blurs edges; another frame is farther
    decoder = f"pyav {av.__version__}"
    described = {"source": "h264", "decoder": decoder, "size": 128, "fps": 8}
    assert task.describe_clips() == described


def test_sixteen_frames_have_the_same_times_from_a_file_as_from_memory() -> None:
    clips = [
        ToyWorldTask(EvalSettings(limit=1, mp4=mp4)).load_clip("0", num_frames=16, size=64)
        for mp4 in (False, True)
    ]
    assert torch.allclose(clips[0].pts_seconds, clips[1].pts_seconds, atol=1e-6)


def test_majority_is_counted_on_val_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toyworld, "_MAJORITY_SCENES", range(50, 80))
    asked: list[tuple[str, int, int]] = []

    def listen(split: str, index: int, seed: int) -> object:
        asked.append((split, index, seed))
        return make_scene(split, index, seed)

    task = ToyWorldTask(EvalSettings(limit=5, seed=4))
    task._world = replace(WORLDS["toy"], make_scene=listen)
    majority = task.majority_answers()
    assert asked == [("val", index, 4) for index in range(50, 80)]
    counts: dict[str, Counter[str]] = {}
    for index in range(50, 80):
        for question in make_questions(make_scene("val", index, 4), "val", count=5, seed=4):
            counts.setdefault(question.family, Counter())[question.answer] += 1
    assert majority.keys() == counts.keys()
    for family, answer in majority.items():
        assert counts[family][answer] == max(counts[family].values())


def test_majority_scenes_are_not_those_that_are_asked() -> None:
    assert toyworld._MAJORITY_SCENES.start > 100_000


def test_the_right_answers_score_and_wrong_ones_do_not() -> None:
    examples = ToyWorldTask(EvalSettings(limit=60)).examples
    for example in examples:
        for answer in (example.answer, *example.aliases):
            assert SPEC.score(f"{answer}.", example).correct
        assert not SPEC.score("a teapot", example).correct
        assert SPEC.score("", example).parsed is None


def test_the_benchmark_is_offered() -> None:
    assert BENCHMARKS["toyworld"] is SPEC
    assert "test_iid" in SPEC.splits
    assert "motion" in SPEC.families
