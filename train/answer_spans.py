"""Where the answers stand in a rendered chat, for any chat template.

A template that renders the beginning of a chat as the beginning of the whole tells by itself. One
that renders earlier turns differently once a chat goes on (Qwen3 drops the thoughts of all but the
last answer) is asked a second time, with a mark in the place of the answer.
"""

import re
from collections.abc import Sequence

from videollm.clip import Clip
from videollm.errors import ModelError
from videollm.processor import VideoLLMProcessor
from videollm.train.examples import Dialogue

__all__ = ["render_with_answers"]

_MARK = "@Here stands the answer@"


def render_with_answers(
    processor: VideoLLMProcessor, dialogue: Dialogue, videos: Sequence[Clip]
) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of a chat, and the characters from where to where each answer stands.

    An answer begins where the prompt for it ends, and its end-of-turn token belongs to it; a
    blank after that token may.

    Raises:
        ModelError: The template does not show an answer as it is.
    """
    text = processor.render(dialogue, videos)
    spans = []
    num_videos = 0
    for index, message in enumerate(dialogue):
        if message["role"] != "assistant":
            content = message["content"]
            num_videos += 0 if isinstance(content, str) else _count(content)
            continue
        seen = videos[:num_videos]
        before = processor.render(dialogue[:index], seen, add_generation_prompt=True)
        until = processor.render(dialogue[: index + 1], seen)
        if text.startswith(until) and until.startswith(before):
            spans.append((len(before), len(until)))
        else:
            spans.append(_marked_span(processor, dialogue, videos, text, index))
    return text, spans


def _count(parts: Sequence[dict[str, str]]) -> int:
    return sum(part["type"] == "video" for part in parts)


def _marked_span(
    processor: VideoLLMProcessor, dialogue: Dialogue, videos: Sequence[Clip], text: str, index: int
) -> tuple[int, int]:
    marked = [*dialogue]
    marked[index] = {**dialogue[index], "content": _MARK}
    before, found, after = processor.render(marked, videos).partition(_MARK)
    fits = len(before) + len(after) <= len(text)
    if not (found and fits and text.startswith(before) and text.endswith(after)):
        raise ModelError(
            "the chat template does not show an answer as it is, so answers cannot be told from "
            "prompts: set another chat_template"
        )
    specials = "|".join(map(re.escape, processor.tokenizer.all_special_tokens))
    end = re.match(rf"\s*(?:{specials})", after)
    return len(before), len(text) - len(after) + (len(end[0]) if end else 0)
