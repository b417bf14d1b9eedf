"""The Live tab: its layout, and which part calls what."""

from typing import Any

import gradio as gr

from videollm.serve import markup_live
from videollm.serve.live_desk import LiveDesk, LiveParts

__all__ = ["connect_live", "lay_out_live"]

STREAM_SECONDS = 0.5
"""How often the browser sends a frame of its camera."""


def lay_out_live() -> LiveParts:
    """Return the parts of the tab, laid out."""
    with gr.Row(elem_id="live-columns"):
        with gr.Column(scale=5, min_width=320):
            seen = _stream_parts()
        with gr.Column(scale=6, min_width=320):
            asked = _question_parts()
    return LiveParts(timer=gr.Timer(1.0), **seen, **asked)


def _stream_parts() -> dict[str, Any]:
    camera = gr.Image(
        label="Your camera",
        sources=["webcam"],
        streaming=True,
        type="numpy",
        height=300,
        buttons=[],
        elem_id="camera",
    )
    address = gr.Textbox(
        label="Or an address",
        placeholder="https://... or rtsp://...",
        max_lines=1,
        max_length=2000,
        elem_id="live-address",
        submit_btn=True,
    )
    view = gr.HTML("", elem_id="live-view")
    gauge = gr.HTML(markup_live.gauge(None, ()), elem_id="gauge")
    with gr.Row(elem_id="live-tools"):
        tools = {
            "pause": gr.Button("Pause", size="sm", elem_id="live-pause"),
            "save": gr.Button("Save", size="sm", elem_id="live-save"),
            "restore": gr.UploadButton(
                "Restore", size="sm", file_types=[".safetensors"], elem_id="live-restore"
            ),
            "end": gr.Button("Start over", size="sm", elem_id="live-end"),
        }
    saved = gr.File(label="The saved stream", visible=False, elem_id="live-saved")
    parts = {"camera": camera, "address": address, "view": view, "gauge": gauge, "saved": saved}
    return {**parts, **tools}


def _question_parts() -> dict[str, Any]:
    chat = gr.Chatbot(
        show_label=False,
        height=330,
        buttons=[],
        feedback_options=None,
        render_markdown=False,
        placeholder="Watch something, then ask at any moment.",
        elem_id="live-chat",
    )
    notice = gr.HTML("", elem_id="live-notice")
    question = gr.Textbox(
        show_label=False,
        label="Question about the stream",
        placeholder="Ask about what was seen until now",
        submit_btn=True,
        max_length=2000,
        elem_id="live-question",
    )
    with gr.Row():
        standing = gr.Textbox(
            label="Ask again and again, and tell when the answer changes",
            placeholder="Is anybody there?",
            max_lines=1,
            max_length=500,
            elem_id="standing",
            scale=4,
            submit_btn=True,
        )
        every = gr.Number(5, minimum=0.5, maximum=3600, label="Seconds", scale=1)
    changes = gr.HTML("", elem_id="changes", js_on_load=markup_live.CHOOSE_SCRIPT)
    parts = {"chat": chat, "notice": notice, "question": question}
    return {**parts, "standing": standing, "every": every, "changes": changes}


def connect_live(page: gr.Blocks, parts: LiveParts, desk: LiveDesk) -> None:
    """Say what happens on a click.

    Args:
        page: Where the parts are.
        parts: The parts.
        desk: What happens.
    """
    plain: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": None,
    }
    press: dict[str, Any] = {**plain, "trigger_mode": "multiple"}
    state = [parts.notice, parts.pause]
    parts.camera.stream(
        desk.see,
        parts.camera,
        parts.notice,
        stream_every=STREAM_SECONDS,
        time_limit=None,
        queue=True,
        **plain,
    )
    parts.address.submit(desk.watch, parts.address, state, **press)
    parts.timer.tick(desk.refresh, None, [parts.view, parts.gauge, parts.changes], **plain)
    parts.question.submit(
        desk.ask,
        [parts.question, parts.chat],
        [parts.chat, parts.question, parts.notice],
        **press,
    )
    parts.standing.submit(
        desk.stand, [parts.standing, parts.every], [parts.standing, parts.notice], **press
    )
    parts.changes.click(desk.take_back, None, [parts.changes, parts.notice], **press)
    parts.pause.click(desk.pause, None, state, **press)
    parts.save.click(desk.save, None, [parts.saved, parts.notice], **press)
    parts.restore.upload(desk.restore, parts.restore, state, **press)
    parts.end.click(desk.end, None, [parts.chat, *state], **press)
    page.unload(desk.leave)
