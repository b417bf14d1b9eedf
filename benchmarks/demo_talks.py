"""Hold talks with a model about clips of the shape world, and show as many failures as successes.

python -m benchmarks.demo_talks PAGE [--model demo] [--talks 10] [--seed 0]

One talk a clip, four questions in a row, each answered with the model's own earlier answers before
it. Clips of `test_iid` are taken in an order drawn from the seed; half of the talks shown are
the first that went wrong somewhere, the other half the first that did not. Writes them into
PAGE and the clips' frames beside it.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.pages import replace_tables
from videollm.api import VideoLLM
from videollm.clip import Clip
from videollm.contact_sheet import contact_sheet
from videollm.processor import Message
from videollm.scoring import exact_match
from videollm.shapeworld import Question, make_questions, make_scene, render_frames

SPLIT, TURNS, SCENES, MOST_TALKS = "test_iid", 4, 100_000, 300
PICTURE_FRAMES, PICTURE_SIZE = 8, 128


@dataclass(frozen=True, slots=True)
class Turn:
    """Hold a question, its right answer, what was answered, and whether that was right."""

    question: str
    truth: str
    answer: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class Talk:
    """Hold the turns about the clip of one scene."""

    scene: int
    turns: tuple[Turn, ...]

    @property
    def is_right(self) -> bool:
        """Return whether every answer was."""
        return all(turn.is_right for turn in self.turns)


Ask = Callable[[Clip, str, Sequence[Message]], str]


def main(argv: Sequence[str] | None = None) -> int:
    """Talk, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("page", type=Path)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--talks", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    model = VideoLLM.from_pretrained(options.model)

    def ask(clip: Clip, question: str, history: Sequence[Message]) -> str:
        return model.ask(clip, question, history=history).answer

    frames = model.processor.num_frames
    talks = choose(talks_of(ask, num_frames=frames, seed=options.seed), options.talks)
    options.page.parent.mkdir(parents=True, exist_ok=True)
    for talk in talks:
        clip = render_frames(
            make_scene(SPLIT, talk.scene), num_frames=PICTURE_FRAMES, size=PICTURE_SIZE
        )
        contact_sheet(clip).save(options.page.parent / picture_of(talk))
    replace_tables(options.page, {"talks": "\n\n".join(map(show, talks))})
    print(options.page)
    return 0


def talks_of(ask: Ask, *, num_frames: int, seed: int) -> Iterator[Talk]:
    """Yield talks about clips in an order drawn from a seed, without end.

    Args:
        ask: (clip, question, turns before) to an answer.
        num_frames: Frames of a clip.
        seed: Of the order.
    """
    rng = np.random.default_rng(seed)
    while True:
        scene = int(rng.integers(SCENES))
        drawn = make_scene(SPLIT, scene)
        asked = plan(make_questions(drawn, SPLIT, count=TURNS, seed=seed))
        clip = render_frames(drawn, num_frames=num_frames)
        history: list[Message] = []
        turns = []
        for question, truth, aliases in asked:
            answer = ask(clip, question, history)
            turns.append(Turn(question, truth, answer, exact_match(answer, truth, aliases)))
            history += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        if turns:
            yield Talk(scene, tuple(turns))


def plan(questions: Sequence[Question]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return at most `TURNS` questions with truth and aliases, each after those that it follows."""
    asked: list[tuple[str, str, tuple[str, ...]]] = []
    for question in questions:
        before = [(turn.question, turn.answer, ()) for turn in question.history]
        asked += [*before, (question.prompt, question.answer, question.aliases)]
    return asked[:TURNS]


def choose(talks: Iterator[Talk], num: int) -> list[Talk]:
    """Return the first talks that went wrong somewhere, half of `num`, and the first others.

    Of a model that is always or never right in `MOST_TALKS` there are fewer.
    """
    wrong: list[Talk] = []
    right: list[Talk] = []
    wanted = num // 2
    for talk in islice(talks, MOST_TALKS):
        kind = right if talk.is_right else wrong
        if len(kind) < (num - wanted if talk.is_right else wanted):
            kind.append(talk)
        if len(wrong) + len(right) == num:
            break
    return [*wrong, *right]


def show(talk: Talk) -> str:
    """Return a talk as Markdown: the clip's frames, then its turns."""
    lines = [f"![Clip {talk.scene} of {SPLIT}]({picture_of(talk)})", ""]
    for turn in talk.turns:
        verdict = "" if turn.is_right else f" *(wrong: {turn.truth})*"
        lines.append(f"- {turn.question} **{turn.answer}**{verdict}")
    return "\n".join(lines)


def picture_of(talk: Talk) -> str:
    """Return the name of the file with the frames of a talk's clip."""
    return f"talk_{talk.scene}.png"


if __name__ == "__main__":
    sys.exit(main())
