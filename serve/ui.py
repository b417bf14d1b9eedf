"""The chat page: its look, its layout, and which part calls what.

A Gradio view without logic. Analytics, web fonts and share buttons are off; the page asks no
server but its own. What happens on a click is in `videollm.serve.handlers`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from videollm.serve import markup
from videollm.serve.handlers import Handlers, Parts
from videollm.serve.samples import Sample
from videollm.serve.sessions import SessionStore
from videollm.serve.turns import Settings

__all__ = ["SCRIPT", "STYLE_SHEET", "build_page", "page_theme"]

STYLE_SHEET = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")

KEEP_UPLOADS_SECONDS = 6 * 3600
"""Uploaded files are deleted after this time, and all of them when the server stops."""

MAX_FRAMES = 32
"""The most frames that a visitor may choose."""

TYPED_FRAMES = f"frames => [Math.min({MAX_FRAMES}, Math.max(1, frames ?? 1))]"
"""What a number box means that is emptied or beyond the ends: the page moves it there, too, but
only when it is left, and Gradio answers with an error until then."""


def page_theme() -> gr.themes.Base:
    """Return the look of the page: the system's own fonts, light or dark as the browser says."""
    font = [gr.themes.Font(name) for name in ("system-ui", "-apple-system", "sans-serif")]
    mono = [gr.themes.Font(name) for name in ("ui-monospace", "monospace")]
    return gr.themes.Soft(
        primary_hue="indigo", neutral_hue="slate", radius_size="lg", font=font, font_mono=mono
    )


def build_page(
    sessions: SessionStore, samples: Sequence[Sample], *, max_upload_bytes: int
) -> gr.Blocks:
    """Return the chat page.

    Args:
        sessions: The visitors' talks; their engine answers.
        samples: Clips to offer.
        max_upload_bytes: Said beside the upload.
    """
    with gr.Blocks(
        title="videollm",
        analytics_enabled=False,
        delete_cache=(600, KEEP_UPLOADS_SECONDS),
        fill_width=True,
    ) as page:
        parts = _lay_out(sessions, samples, max_upload_bytes)
        _connect(page, parts, Handlers(sessions, samples, parts))
    return page


def _lay_out(sessions: SessionStore, samples: Sequence[Sample], max_upload_bytes: int) -> Parts:
    engine = sessions.engine
    header = gr.HTML(markup.header(engine.model_name, engine.status, engine.device), elem_id="head")
    with gr.Row(elem_id="columns"):
        with gr.Column(scale=5, min_width=320):
            video = _video_parts(samples, max_upload_bytes)
        with gr.Column(scale=6, min_width=320):
            talk = _talk_parts()
            with gr.Accordion("Settings", open=False, elem_id="settings"):
                settings = _settings_parts()
    return Parts(header=header, timer=gr.Timer(1.0), **video, **talk, **settings)


def _video_parts(samples: Sequence[Sample], max_upload_bytes: int) -> dict[str, Any]:
    player = gr.Video(
        label="Video",
        show_label=False,
        sources=["upload"],
        elem_id="player",
        height=330,
        buttons=[],
    )
    gr.HTML(markup.upload_hint(max_upload_bytes))
    return {
        "player": player,
        "samples": gr.HTML(
            markup.sample_grid(samples), js_on_load=markup.CHOOSE_SCRIPT, elem_id="samples"
        ),
        "strip": gr.HTML("", js_on_load=markup.SEEK_SCRIPT, elem_id="strip"),
    }


def _talk_parts() -> dict[str, Any]:
    chat = gr.Chatbot(
        show_label=False,
        elem_id="chat",
        height=460,
        buttons=[],
        feedback_options=None,
        # answers and file names are text, never markup
        render_markdown=False,
        placeholder="Choose a video, then ask about it.",
    )
    cost = gr.HTML("", elem_id="cost")
    chips = gr.HTML("", js_on_load=markup.CHOOSE_SCRIPT, elem_id="chips")
    notice = gr.HTML("", elem_id="notice")
    question = gr.Textbox(
        show_label=False,
        label="Question",
        placeholder="Ask about the video",
        submit_btn=True,
        max_lines=4,
        max_length=2000,
        elem_id="question",
    )
    with gr.Row(elem_id="tools"):
        buttons = {
            name: gr.Button(name.title(), size="sm", interactive=False, elem_id=name)
            for name in ("stop", "retry", "clear")
        }
    return {
        "chat": chat,
        "cost": cost,
        "chips": chips,
        "notice": notice,
        "question": question,
        **buttons,
    }


def _settings_parts() -> dict[str, Any]:
    default = Settings()
    return {
        "frames": gr.Slider(
            1, MAX_FRAMES, default.num_frames, step=1, label="Frames the model sees"
        ),
        "length": gr.Slider(
            8, 256, default.max_new_tokens, step=8, label="Longest answer, in tokens"
        ),
        "temperature": gr.Slider(
            0, 1.5, default.temperature, step=0.1, label="Temperature (0: the likeliest answer)"
        ),
    }


def _connect(page: gr.Blocks, parts: Parts, handlers: Handlers) -> None:
    plain: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": None,
    }
    # without "multiple", Gradio drops a click in silence while the last one's reply is due
    press: dict[str, Any] = {**plain, "trigger_mode": "multiple"}
    talk = parts.talk
    ask_inputs = [parts.question, *parts.settings]
    parts.timer.tick(handlers.refresh, None, [parts.header, parts.timer], **plain)
    page.unload(handlers.leave)
    parts.samples.click(handlers.choose_sample, parts.frames, [parts.player, *talk], **press)
    parts.player.upload(
        handlers.choose_upload, [parts.player, parts.frames], [parts.player, *talk], **press
    )
    parts.player.clear(handlers.choose_none, None, talk, **press)
    # "release" would miss a number that is typed until the box loses the focus
    parts.frames.change(
        handlers.preview, parts.frames, talk, js=TYPED_FRAMES, trigger_mode="always_last", **plain
    )
    parts.question.submit(handlers.ask, ask_inputs, [parts.question, *talk], **press)
    parts.chips.click(handlers.ask_suggestion, parts.settings, talk, **press)
    parts.retry.click(handlers.retry, parts.settings, talk, **press)
    parts.clear.click(handlers.clear, None, talk, **press)
    # not queued: it must reach a server that is busy answering
    parts.stop.click(handlers.stop, None, None, queue=False, **press)
