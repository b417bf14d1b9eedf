"""The components of the Chat tab, by name."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

__all__ = ["Parts"]


@dataclass(frozen=True)
class Parts:
    """Name the components of the page."""

    header: gr.HTML
    player: gr.Video
    samples: gr.HTML
    strip: gr.HTML
    chat: gr.Chatbot
    chips: gr.HTML
    notice: gr.HTML
    question: gr.Textbox
    stop: gr.Button
    retry: gr.Button
    clear: gr.Button
    cost: gr.HTML
    frames: gr.Slider
    length: gr.Slider
    temperature: gr.Slider
    fps: gr.Number
    tokens: gr.Number
    system: gr.Textbox
    keep_talk: gr.Checkbox
    timer: gr.Timer
    address: gr.Textbox
    times: gr.HTML
    edit: gr.Button
    save_markdown: gr.Button
    save_json: gr.Button
    written: gr.Textbox

    @property
    def settings(self) -> set[Any]:
        """Return the inputs of `Settings`."""
        return {
            self.frames,
            self.length,
            self.temperature,
            self.fps,
            self.tokens,
            self.system,
            self.keep_talk,
        }

    @property
    def talk(self) -> list[Any]:
        """Return the outputs that show a session."""
        return [
            self.samples,
            self.strip,
            self.chat,
            self.chips,
            self.notice,
            self.stop,
            self.retry,
            self.clear,
            self.cost,
            self.times,
            self.edit,
            self.save_markdown,
            self.save_json,
        ]
