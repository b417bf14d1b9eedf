"""The small pieces of HTML of the Live tab; every text from outside is escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from videollm.serve.markup import CHOOSE_SCRIPT, data_url

if TYPE_CHECKING:
    from videollm.stream_record import StreamStats

__all__ = ["CHOOSE_SCRIPT", "change_list", "gauge", "view"]

WIDTH, HEIGHT = 320, 56


def view(picture: bytes | None) -> str:
    """Return what the stream shows now.

    Args:
        picture: A JPEG file; None shows nothing.
    """
    return "" if picture is None else f'<img alt="The stream now" src="{data_url(picture)}">'


def gauge(stats: "StreamStats | None", history: Sequence[tuple[float, int]]) -> str:
    """Return the memory over time, and the state in numbers.

    Args:
        stats: The numbers; None where nothing is watched.
        history: Seconds of the stream with the tokens held then.
    """
    if stats is None:
        return '<p class="label">Nothing is watched yet.</p>'
    words = (
        f"{stats.seconds_seen:.1f} s, {stats.frames_seen} frames, {stats.tokens_held} tokens held, "
        f"memory {stats.memory_bytes / 2**20:.2f} MiB, state {stats.state_bytes / 2**20:.2f} MiB, "
        f"cache {stats.cache_bytes / 2**20:.1f} MiB"
    )
    return (
        f'<svg class="gauge" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Tokens held over time, now {stats.tokens_held}">{_line(history)}</svg>'
        f'<p class="cost">{words}</p>'
    )


def _line(history: Sequence[tuple[float, int]]) -> str:
    if len(history) < 2:
        return ""
    start, end = history[0][0], max(history[-1][0], history[0][0] + 1e-9)
    most = max(1, *(tokens for _, tokens in history))
    across, up = WIDTH / (end - start), (HEIGHT - 4) / most
    points = " ".join(
        f"{(seconds - start) * across:.1f},{HEIGHT - tokens * up:.1f}"
        for seconds, tokens in history
    )
    return f'<polyline fill="none" stroke="currentColor" stroke-width="2" points="{points}"/>'


def change_list(standing: Mapping[str, float], changes: Sequence[Mapping[str, Any]]) -> str:
    """Return the questions that stand, each with a button that ends it, and what was heard.

    Args:
        standing: Questions with the seconds between.
        changes: Answers that differed from the last, oldest first.
    """
    asked = "".join(
        f"<li>{escape(question)} <small>every {seconds:g} s</small> "
        f'<button type="button" data-index="{index}" aria-label="End this question">End</button>'
        "</li>"
        for index, (question, seconds) in enumerate(standing.items())
    )
    heard = "".join(
        f"<li><small>{one['at_seconds']:.1f} s</small> {escape(one['question'])} "
        f"<b>{escape(one['answer'])}</b></li>"
        for one in reversed(changes[-20:])
    )
    return (f"<ul>{asked}</ul>" if asked else "") + (
        f'<ol class="heard" aria-live="polite">{heard}</ol>' if heard else ""
    )
