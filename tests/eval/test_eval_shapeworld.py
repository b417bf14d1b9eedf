"""The shape world as a benchmark: talks with their turns, captions by recall, other clips too."""

import json
from collections.abc import Sequence
from pathlib import Path

from videollm.clip import Clip
from videollm.eval.benchmarks import BENCHMARKS
from videollm.eval.conditions import ModelCondition
from videollm.eval.predictions import Prediction, PredictionLog, read_predictions
from videollm.eval.record import hash_prompts
from videollm.eval.settings import EvalSettings
from videollm.eval.task import Example
from videollm.eval.toyworld import FOREIGN_SPEC, SHAPES_SPEC
from videollm.shapeworld import answer_question, make_scene
from videollm.shapeworld.foreign import FOREIGN_ANSWER


class Oracle:
    """Answer from the scene graph, whatever is shown."""

    def __init__(self, scenes: dict[int, int]) -> None:
        self.scenes = scenes
        self.histories: list[Sequence[dict[str, str]]] = []

    def batch(
        self,
        videos: list[Clip | None],
        questions: list[str],
        *,
        max_new_tokens: int = 32,
        batch_size: int = 8,
        histories: list[list[dict[str, str]]] | None = None,
    ) -> list[str]:
        del max_new_tokens, batch_size
        before = [[] for _ in questions] if histories is None else histories
        self.histories += before
        return [
            answer_question(
                make_scene("test_iid", self.scenes[id(video)]),
                question,
                tuple(
                    (asked["content"], answer["content"])
                    for asked, answer in zip(turns[::2], turns[1::2], strict=True)
                ),
            )
            for video, question, turns in zip(videos, questions, before, strict=True)
        ]


def predictions(examples: Sequence[Example]) -> list[Prediction]:
    task = SHAPES_SPEC.build(EvalSettings(tasks=("shapeworld",), limit=1))
    clips = {
        example.video: task.load_clip(example.video, num_frames=2, size=32) for example in examples
    }
    oracle = Oracle({id(clip): int(video) for video, clip in clips.items()})
    condition = ModelCondition(name="model", model=oracle, seed=0, max_new_tokens=32)
    replies = condition.answer(examples, [clips[example.video] for example in examples])
    assert len(oracle.histories) == len(examples)
    return [
        Prediction.of(
            example,
            reply,
            SHAPES_SPEC.score(reply.output, example),
            task="shapeworld",
            condition="model",
        )
        for example, reply in zip(examples, replies, strict=True)
    ]


def test_an_oracle_is_always_right_and_talks_keep_their_turns(tmp_path: Path) -> None:
    task = SHAPES_SPEC.build(EvalSettings(tasks=("shapeworld",), limit=60, questions_per_video=10))
    scored = predictions(task.examples)
    assert all(prediction.correct for prediction in scored)
    assert any(prediction.history for prediction in scored)
    path = tmp_path / "predictions.jsonl"
    with PredictionLog(path) as log:
        log.add(scored)
    assert read_predictions(path) == scored


def test_choices_are_offered_and_read_by_letter_or_text() -> None:
    settings = EvalSettings(tasks=("shapeworld",), limit=40, choice_fraction=1.0)
    examples = SHAPES_SPEC.build(settings).examples
    offered = [example for example in examples if example.family != "premise"]
    assert len(offered) > 20
    for example in offered:
        assert all(choice in example.question for choice in example.choices)
        for answer in (example.answer, example.answer[:3], example.answer[4:]):
            assert SHAPES_SPEC.score(answer, example).correct
        wrong = next(choice for choice in example.choices if choice != example.answer)
        assert not SHAPES_SPEC.score(wrong, example).correct


def test_files_of_older_versions_have_no_turns(tmp_path: Path) -> None:
    task = SHAPES_SPEC.build(EvalSettings(tasks=("shapeworld",), limit=1, families=("colour",)))
    (prediction,) = predictions(task.examples)
    values = json.loads(prediction.to_line())
    del values["history"]
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(values) + "\n")
    assert read_predictions(path) == [prediction]


def test_turns_are_part_of_what_is_asked() -> None:
    plain = Example(id="a", family="colour", video="0", question="And?", answer="red")
    talk = Example(
        id="a", family="colour", video="0", question="And?", answer="red", history=(("X?", "y"),)
    )
    assert hash_prompts([plain]) != hash_prompts([talk])


def test_captions_count_by_recall() -> None:
    task = SHAPES_SPEC.build(
        EvalSettings(tasks=("shapeworld",), limit=4, families=("caption",), questions_per_video=1)
    )
    for example in task.examples:
        whole = SHAPES_SPEC.score(example.answer, example)
        assert whole.correct
        assert whole.measures == {"recall": 1.0}
        start = SHAPES_SPEC.score(example.answer.split(". ")[0] + ".", example)
        assert 0 < start.measures["recall"] <= 1
        assert SHAPES_SPEC.score("A teapot.", example).measures == {"recall": 0.0}
        assert SHAPES_SPEC.score("", example).parsed is None


def test_clips_of_another_kind_ask_for_the_honest_sentence() -> None:
    task = FOREIGN_SPEC.build(EvalSettings(tasks=("foreign",), limit=10))
    for example in task.examples:
        assert FOREIGN_SPEC.score(FOREIGN_ANSWER, example).correct
        assert not FOREIGN_SPEC.score("red", example).correct
    assert len(task.load_clip("0", num_frames=4, size=32)) == 4
    assert {"shapeworld", "foreign", "toyworld"} <= BENCHMARKS.keys()
    assert "test_long" in BENCHMARKS["shapeworld"].splits
