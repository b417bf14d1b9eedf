"""The small pieces of HTML on the page, made from plain values.

Every text from outside (file names, questions, answers, errors) is escaped here, and pictures are
data URLs, so a page shows nothing that it did not get from this server. The scripts below are
written once and listen on the component, so replaced contents need no new listeners.
"""

import base64
from collections.abc import Sequence
from html import escape

from videollm.serve.frames import FrameStrip
from videollm.serve.jobs import Done
from videollm.serve.samples import Sample
from videollm.serve.turns import Notice

__all__ = [
    "CHOOSE_SCRIPT",
    "SEEK_SCRIPT",
    "cost_line",
    "data_url",
    "frame_strip",
    "header",
    "notice_line",
    "sample_grid",
    "save_script",
    "suggestion_chips",
    "time_links",
    "upload_hint",
]

CHOOSE_SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-index]');
  if (button) trigger('click', {index: Number(button.dataset.index)});
});
"""
"""Tells the server which of the buttons inside a component was pressed."""

SEEK_SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-seconds]');
  const player = document.querySelector('#player video');
  if (button && player) { player.pause(); player.currentTime = Number(button.dataset.seconds); }
});
"""
"""Moves the player to the time of the frame that was pressed."""

SAVE_SCRIPT = """
(text) => {{
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {{type: 'text/plain'}}));
  link.download = '{name}';
  link.click();
  URL.revokeObjectURL(link.href);
}}
"""

LOGO = (
    '<svg class="logo" viewBox="0 0 32 32" aria-hidden="true">'
    '<rect x="1" y="5" width="30" height="22" rx="7"/><path d="M13 11v10l9-5z"/></svg>'
)

STATUS_TEXT = {"ok": "ready", "loading": "loading", "failed": "not available"}


def save_script(name: str) -> str:
    """Return what hands a text to the browser's downloads.

    Args:
        name: Of the file.
    """
    return SAVE_SCRIPT.format(name=name)


def header(model: str, status: str, device: str) -> str:
    """Return the top line: what this is and how the model does.

    Args:
        model: Its name.
        status: `ok`, `loading` or `failed`.
        device: Where it runs; empty where that is not known yet.
    """
    where = f" on {escape(device)}" if device else ""
    return (
        f'<div class="topline"><h1>{LOGO}videollm</h1>'
        "<p>Ask a video a question.</p>"
        f'<div class="state {escape(status)}" role="status"><i></i>'
        f"<b>{escape(model)}</b> {STATUS_TEXT[status]}{where}</div></div>"
    )


def upload_hint(max_upload_bytes: int) -> str:
    """Return what may be uploaded, as the line between the player and the samples.

    Args:
        max_upload_bytes: The largest file that is taken.
    """
    return f'<p class="label hint">Any video up to {max_upload_bytes // 2**20} MB, or a sample</p>'


def sample_grid(samples: Sequence[Sample], chosen: int | None = None) -> str:
    """Return one button with a picture for every sample clip, and one more for a surprise.

    Args:
        samples: The clips.
        chosen: Which of them is in the player.
    """
    buttons = "".join(
        f'<button type="button" data-index="{index}" aria-pressed="{str(index == chosen).lower()}"'
        f' aria-label="{escape(sample.title)}" title="{escape(sample.title)}">'
        f'<img alt="" src="{data_url(sample.picture)}"></button>'
        for index, sample in enumerate(samples)
    )
    surprise = (
        f'<button type="button" class="surprise" data-index="{len(samples)}" '
        'title="Draw a clip that nobody has seen">Surprise me</button>'
    )
    return f'<div class="samples">{buttons}{surprise}</div>'


def suggestion_chips(questions: Sequence[str]) -> str:
    """Return one button for every question that the page offers.

    Args:
        questions: What to offer; nothing is shown where there is none.
    """
    return "".join(
        f'<button type="button" data-index="{index}">{escape(question)}</button>'
        for index, question in enumerate(questions)
    )


def frame_strip(strip: FrameStrip | None, answered: bool) -> str:
    """Return the frames in a row, each with its time.

    Args:
        strip: The frames; None shows nothing.
        answered: Whether the model has already seen them.
    """
    if strip is None:
        return ""
    frames = "".join(
        f'<button type="button" data-seconds="{seconds:.3f}" '
        f'title="Show {seconds:.1f} s in the player">'
        f'<img alt="Frame at {seconds:.1f} seconds" src="{data_url(picture)}">'
        f"<span>{seconds:.1f} s</span></button>"
        for seconds, picture in zip(strip.seconds, strip.pictures, strict=True)
    )
    words = "saw" if answered else "will see"
    count = len(strip.seconds)
    return (
        f'<p class="label">The {count} frame{"s" if count > 1 else ""} the model {words}</p>'
        f'<div class="frames">{frames}</div>'
    )


def time_links(seconds: Sequence[float]) -> str:
    """Return one button for every time that an answer names.

    Args:
        seconds: The times; nothing is shown where there is none.
    """
    buttons = "".join(
        f'<button type="button" data-seconds="{one:.3f}">{one:g} s</button>' for one in seconds
    )
    return (
        f'<p class="times" aria-label="Times in the answer">Go to {buttons}</p>' if buttons else ""
    )


def notice_line(notice: Notice | None) -> str:
    """Return what to tell the user apart from answers.

    Args:
        notice: The sentence; None shows nothing.
    """
    if notice is None:
        return ""
    role = "alert" if notice.kind == "error" else "status"
    return f'<p class="notice {notice.kind}" role="{role}">{escape(notice.text)}</p>'


def cost_line(done: Done | None) -> str:
    """Return what the last answer cost, in one line.

    Args:
        done: The end of the answer; None or a stopped one shows no numbers.
    """
    if done is None:
        return ""
    if done.stopped:
        return '<p class="cost">stopped</p>'
    parts = [
        f"{done.frames} frames",
        f"{done.visual_tokens} visual tokens",
        f"{done.answer_tokens} answer tokens",
        f"first token {done.first_token_seconds:.2f} s",
        f"total {done.total_seconds:.2f} s",
    ]
    return f'<p class="cost">{" <i></i> ".join(parts)}</p>'


def data_url(jpeg: bytes) -> str:
    """Return a picture as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
