"""How fast the shape world is drawn, and how much of its questions can be guessed.

python -m benchmarks.shape_world [--clips 300] [--train 5000] [--val 1000] [--output FOLDER]

Drawing is measured beside the toy world's, scenes and 16 frames of 64 x 64, on one thread. The
best blind table answers from a question's wording, or from its whole text with the turn before,
with what was right most often in `--train` clips; it is used on `--val` other clips. The oracle
answers from the words of the question and the scene graph. The laws: 150 clips a second, a blind
overall of at most 25 % by wording and family, an oracle that is always right.
"""

import argparse
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import interleaved_seconds, save
from videollm.scoring import exact_match
from videollm.shapeworld import Question, answer_question, make_questions, make_scene
from videollm.worlds import WORLDS, World

MIN_CLIPS_A_SECOND = 150.0
MAX_BLIND = 0.25

_NAMED = re.compile(
    r"the \w+ (?:circle|square|triangle|star|cross|diamond|heart|moon)"
    r"(?: (?:enters|leaves|starts to \w+|stops \w+|bounces|collides|changes its colour))?"
)
_SPLITS = ("test_iid", "test_compositional", "test_paraphrase", "test_long")


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return 1 if a law is broken."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--train", type=int, default=5000)
    parser.add_argument("--val", type=int, default=1000)
    parser.add_argument("--oracle", type=int, default=250, help="clips of each test split")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    drawing = measure_drawing(options.clips)
    print(drawing, flush=True)
    questions = {
        split: ask(split, num) for split, num in (("train", options.train), ("val", options.val))
    }
    blind = {
        "wording": blind_scores(questions["train"], questions["val"], lambda q: q.wording),
        "text": blind_scores(questions["train"], questions["val"], _text),
    }
    print({name: scores["overall"] for name, scores in blind.items()}, flush=True)
    oracle = {split: oracle_score(split, options.oracle) for split in _SPLITS}
    print(oracle, flush=True)
    holds = (
        drawing["shapes"]["clips_per_second"] >= MIN_CLIPS_A_SECOND
        and blind["wording"]["overall"] <= MAX_BLIND
        and all(score["right"] == score["asked"] for score in oracle.values())
    )
    results = {"drawing": drawing, "blind": blind, "oracle": oracle, "laws_hold": holds}
    print(save(options.output, "shape_world", results, ["benchmarks.shape_world", *arguments]))
    return 0 if holds else 1


def measure_drawing(num: int) -> dict[str, Any]:
    """Return the clips drawn a second in each world, from their numbers to their pixels."""

    def draw(world: World) -> None:
        for index in range(num):
            scene = world.make_scene("train", index, 0)
            world.render(scene, size=64, times=world.times(scene, 16))

    def ask_all() -> None:
        for index in range(num):
            make_questions(make_scene("train", index), "train", count=10, seed=0)

    draw(WORLDS["shapes"])
    seconds = interleaved_seconds(
        {
            "shapes": lambda: draw(WORLDS["shapes"]),
            "toy": lambda: draw(WORLDS["toy"]),
            "questions": ask_all,
        },
        repeats=3,
    )
    begin = time.perf_counter()
    make_scene("test_long_60", 0)
    return {
        **{name: {"clips_per_second": round(num / took, 1)} for name, took in seconds.items()},
        "hour_made_in_seconds": round(time.perf_counter() - begin, 3),
    }


def ask(split: str, num: int) -> list[Question]:
    """Return ten questions about each of the first clips of a split."""
    return [
        question
        for index in range(num)
        for question in make_questions(make_scene(split, index), split, count=10, seed=0)
    ]


def blind_scores(
    train: Sequence[Question], val: Sequence[Question], key: Callable[[Question], Hashable]
) -> dict[str, Any]:
    """Return what the best table from `key` to an answer scores on `val`, by family and overall."""
    tables: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for question in train:
        for name in (key(question), _group(question)):
            tables[name][_form(question)] += 1
    guesses: dict[Hashable, str] = {}
    right: Counter[str] = Counter()
    for question in val:
        name = key(question)
        name = name if name in tables and tables[name].total() >= 3 else _group(question)
        guesses.setdefault(name, _best(tables[name]))
        right[question.family] += exact_match(guesses[name], _form(question), question.aliases)
    asked = Counter(question.family for question in val)
    return {
        "overall": round(right.total() / len(val), 4),
        "families": {
            family: {
                "blind": round(right[family] / asked[family], 3),
                "share": round(asked[family] / len(val), 3),
            }
            for family in sorted(asked)
        },
    }


def oracle_score(split: str, num: int) -> dict[str, int]:
    """Return how many questions of a split the oracle was asked, and answered right."""
    right = asked = 0
    for index in range(num):
        scene = make_scene(split, index)
        for question in make_questions(scene, split, count=20, seed=0, choice_fraction=0.1):
            turns = tuple((turn.question, turn.answer) for turn in question.history)
            answer = answer_question(scene, question.prompt, turns)
            right += exact_match(answer, question.answer, question.aliases)
            asked += 1
    return {"right": right, "asked": asked}


def _text(question: Question) -> Hashable:
    return question.question, tuple(turn.answer for turn in question.history)


def _group(question: Question) -> str:
    return question.wording.rsplit("-", 1)[0]


def _form(question: Question) -> str:
    """Return an answer as a table can hold it: a denial, or which of those listed is right."""
    if question.answer.startswith("there is no"):
        return "there is no"
    if _group(question) in ("order", "seen_first"):
        named = _NAMED.findall(question.question.lower())
        return f"number {named.index(question.answer)} of {len(named)}"
    return question.answer


def _best(seen: Counter[str]) -> str:
    def score(guess: str) -> int:
        if not guess.startswith("at "):
            return seen[guess]
        return sum(num for answer, num in seen.items() if exact_match(guess, answer))

    return max(seen, key=score, default="")


if __name__ == "__main__":
    sys.exit(main())
