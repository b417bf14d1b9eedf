"""A talk as a file: Markdown for people, JSON for programs."""

import json
import re

from videollm.serve.talk import Session
from videollm.serve.turns import Turn

__all__ = ["find_seconds", "to_json", "to_markdown"]

TIME = re.compile(r"(?<![\w.])(\d{1,6}(?:\.\d{1,3})?) ?s(?:econds?)?\b")
MARKUP = re.compile(r"([\\`*_{}\[\]<>#|])")


def find_seconds(text: str) -> list[float]:
    """Return the times that a text names, such as 2.5s or 12 s, in order and each once.

    Args:
        text: An answer.
    """
    return list(dict.fromkeys(float(found[1]) for found in TIME.finditer(text)))


def to_markdown(session: Session) -> str:
    """Return the talk as Markdown; whatever was written in it stays plain text.

    Args:
        session: The talk.
    """
    title = session.turns[0].title if session.turns else session.title
    lines = [f"# {_plain(title)}", "", f"Answers by {_plain(session.engine.model_name)}."]
    for turn in session.turns:
        state = "" if turn.state == "done" else f" ({turn.state})"
        if turn.title != title:
            title = turn.title
            lines += ["", f"## {_plain(title)}"]
        lines += ["", f"**{_plain(turn.question)}**", "", f"{_plain(turn.answer.strip())}{state}"]
    return "\n".join(lines) + "\n"


def to_json(session: Session) -> str:
    """Return the talk as JSON.

    Args:
        session: The talk.
    """
    found = {
        "video": session.title,
        "model": session.engine.model_name,
        "frame_seconds": [] if session.strip is None else list(session.strip.seconds),
        "turns": [_turn(turn) for turn in session.turns],
    }
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def _turn(turn: Turn) -> dict[str, object]:
    known: dict[str, object] = {
        "video": turn.title,
        "question": turn.question,
        "answer": turn.answer.strip(),
        "state": turn.state,
    }
    if turn.done is not None and not turn.done.stopped:
        known |= {
            "frames": turn.done.frames,
            "visual_tokens": turn.done.visual_tokens,
            "answer_tokens": turn.done.answer_tokens,
            "first_token_seconds": turn.done.first_token_seconds,
            "total_seconds": turn.done.total_seconds,
        }
    return known


def _plain(text: str) -> str:
    return MARKUP.sub(r"\\\1", " ".join(text.split()))
