"""What a talk is made of: its settings, its turns, and a word to the user.

What happens to them is the matter of `videollm.serve.talk`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from videollm.serve.jobs import Done
from videollm.serve.questions import Exchange

__all__ = ["Notice", "Settings", "Turn", "history"]


@dataclass(frozen=True)
class Settings:
    """Hold what the user may change about an answer.

    Args:
        num_frames: Frames sampled evenly from the video, at least 1.
        max_new_tokens: The longest answer, in tokens.
        temperature: 0 always takes the likeliest token.
        fps: Frames a second instead of `num_frames`; 0 is not so.
        system: The system message; empty is the model's own.
        tokens_per_frame: Visual tokens for each token frame; 0 is the model's own number.
        keep_talk: Whether another video joins the talk instead of beginning a new one.
    """

    num_frames: int = 16
    max_new_tokens: int = 64
    temperature: float = 0.0
    fps: float = 0.0
    system: str = ""
    tokens_per_frame: int = 0
    keep_talk: bool = False


@dataclass(frozen=True)
class Notice:
    """Hold one sentence for the user.

    Args:
        text: The sentence.
        kind: `info` or `error`.
    """

    text: str
    kind: Literal["info", "error"] = "info"


@dataclass(eq=False)
class Turn:
    """Hold a question with as much of its answer as is there.

    Args:
        question: As it was asked.
        video: The file that it is about.
        title: What that is called on the page.
        answer: The text so far; the reason where it failed.
        state: `running` until the answer ends in one of the other ways.
        waiting: Why nothing comes yet; empty once something does.
        done: What the answer cost.
        attempt: How often the question was asked again; varies a random answer.
    """

    question: str
    video: Path
    title: str
    answer: str = ""
    state: Literal["running", "done", "stopped", "failed"] = "running"
    waiting: str = ""
    done: Done | None = None
    attempt: int = 0


def history(turns: Sequence[Turn]) -> tuple[Exchange, ...]:
    """Return what the model is told of earlier turns.

    Args:
        turns: Oldest first; those without an answer are left out.
    """
    answered = [turn for turn in turns if turn.state in ("done", "stopped") and turn.answer]
    return tuple(Exchange(turn.video, turn.question, turn.answer) for turn in answered)
