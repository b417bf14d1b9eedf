"""The chat page: its look, its layout, and which part calls what.

A Gradio view without logic. Analytics, web fonts and share buttons are off; the page asks no
server but its own. What happens on a click is in `videollm.serve.handlers`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from videollm.serve import markup, markup_model
from videollm.serve.handlers import Handlers
from videollm.serve.live_desk import LiveDesk
from videollm.serve.parts import Parts
from videollm.serve.samples import Sample
from videollm.serve.service import Service
from videollm.serve.sessions import SessionStore
from videollm.serve.turns import Settings
from videollm.serve.ui_live import connect_live, lay_out_live

__all__ = ["SCRIPT", "STYLE_SHEET", "build_page", "page_theme"]

STYLE_SHEET = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")

KEEP_UPLOADS_SECONDS = 6 * 3600
"""Uploaded files are deleted after this time, and all of them when the server stops."""

MAX_FRAMES = 32
"""The most frames that a visitor may choose."""

TYPED_FRAMES = f"(frames, ...rest) => [Math.min({MAX_FRAMES}, Math.max(1, frames ?? 1)), ...rest]"
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
    sessions: SessionStore,
    samples: Sequence[Sample],
    service: Service,
) -> gr.Blocks:
    """Return the page.

    Args:
        sessions: The visitors' talks; their engine answers.
        samples: Clips to offer.
        service: Has the files and the streams.
    """
    with gr.Blocks(
        title="videollm",
        analytics_enabled=False,
        delete_cache=(600, KEEP_UPLOADS_SECONDS),
        fill_width=True,
    ) as page:
        engine = sessions.engine
        header = gr.HTML(
            markup.header(engine.model_name, engine.status, engine.device), elem_id="head"
        )
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Chat", id="chat-tab"):
                parts = _lay_out(header, samples, service.store.max_file_bytes)
            with gr.Tab("Live", id="live-tab"):
                live = lay_out_live()
            with gr.Tab("Model", id="model-tab") as model_tab:
                facts = gr.HTML(markup_model.waiting(), elem_id="facts")
        handlers = Handlers(sessions, samples, parts, service.sources)
        _connect(page, parts, handlers)
        connect_live(page, live, LiveDesk(service, live))
        model_tab.select(
            lambda: markup_model.describe(engine),
            None,
            facts,
            show_progress="hidden",
            api_visibility="private",
        )
    return page


def _lay_out(header: gr.HTML, samples: Sequence[Sample], max_upload_bytes: int) -> Parts:
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
        sources=["upload", "webcam"],
        elem_id="player",
        height=330,
        buttons=[],
    )
    gr.HTML(markup.upload_hint(max_upload_bytes))
    address = gr.Textbox(
        show_label=False,
        label="Address of a video",
        placeholder="or the address of a video: https://...",
        submit_btn=True,
        max_lines=1,
        max_length=2000,
        elem_id="address",
    )
    return {
        "player": player,
        "address": address,
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
        placeholder="Answers appear here: choose a video, then ask about it.",
    )
    times = gr.HTML("", js_on_load=markup.SEEK_SCRIPT, elem_id="times")
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
            for name in ("stop", "retry", "edit", "clear")
        }
        for name, label in (("save_markdown", "Save as text"), ("save_json", "Save as JSON")):
            buttons[name] = gr.Button(label, size="sm", interactive=False, elem_id=name)
    return {
        "chat": chat,
        "times": times,
        "written": gr.Textbox(visible=False),
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
        "fps": gr.Number(
            default.fps,
            label="Frames a second instead (0: as many as above)",
            elem_id="fps",
        ),
        "tokens": gr.Number(
            default.tokens_per_frame,
            precision=0,
            label="Tokens for each frame, or group of frames (0: as many as it was trained with)",
            elem_id="tokens",
        ),
        "system": gr.Textbox(
            default.system,
            label="System message (empty: the model's own)",
            max_length=2000,
            elem_id="system",
        ),
        "keep_talk": gr.Checkbox(
            default.keep_talk,
            label="Another video joins the talk instead of beginning a new one",
            elem_id="keep-talk",
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
    talk, settings = parts.talk, parts.settings
    chosen = [parts.player, *talk]
    # the page was built when the server started, with what was true then
    page.load(handlers.refresh, None, [parts.header, parts.timer], **plain)
    parts.timer.tick(handlers.refresh, None, [parts.header, parts.timer], **plain)
    page.unload(handlers.leave)
    parts.samples.click(handlers.choose_sample, settings, chosen, **press)
    brought = {parts.player, *settings}
    parts.player.upload(handlers.choose_upload, brought, chosen, **press)
    parts.player.stop_recording(handlers.choose_upload, brought, chosen, **press)
    parts.player.clear(handlers.choose_none, None, talk, **press)
    parts.address.submit(
        handlers.choose_address, {parts.address, *settings}, [parts.address, *chosen], **press
    )
    # "release" would miss a number that is typed until the box loses the focus; sets of inputs
    # come in the order in which they were made
    for part, script in ((parts.frames, TYPED_FRAMES), (parts.fps, None)):
        part.change(
            handlers.preview, settings, talk, js=script, trigger_mode="always_last", **plain
        )
    asked = [parts.question, *talk]
    parts.question.submit(handlers.ask, {parts.question, *settings}, asked, **press)
    parts.chips.click(handlers.ask_suggestion, settings, talk, **press)
    parts.retry.click(handlers.retry, settings, talk, **press)
    parts.edit.click(handlers.edit, None, asked, **press)
    parts.clear.click(handlers.clear, None, talk, **press)
    # not queued: it must reach a server that is busy answering
    parts.stop.click(handlers.stop, None, None, queue=False, **press)
    for button, write, name in (
        (parts.save_markdown, handlers.as_markdown, "talk.md"),
        (parts.save_json, handlers.as_json, "talk.json"),
    ):
        saved = button.click(write, None, parts.written, **press)
        saved.then(None, parts.written, None, js=markup.save_script(name))
