"""From a chat request to a question for the engine."""

from collections.abc import Callable
from typing import Any

from videollm.errors import VideoLLMError
from videollm.serve.api_errors import ApiError, explain_refusal
from videollm.serve.api_schema import (
    Answering,
    ChatMessage,
    ChatRequest,
    FilePart,
    ImagePart,
    TextPart,
    VideoPart,
)
from videollm.serve.media_store import StoredFile
from videollm.serve.questions import Chat, Media, Wish

__all__ = ["DEFAULT_MAX_TOKENS", "check_supported", "read_chat", "stop_words", "wish_of"]

DEFAULT_MAX_TOKENS = 256
MAX_MEDIA = 32

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "tools": ([],),
    "functions": ([],),
    "logprobs": (False,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
}
"""What this model does not do, with the values that do not ask for it."""

Find = Callable[[str], StoredFile]


def check_supported(request: ChatRequest) -> None:
    """Refuse what would be ignored in silence.

    Raises:
        ApiError: A field asks for what this server does not do.
    """
    for name, neutral in NEUTRAL.items():
        value = getattr(request, name)
        if value is not None and value not in neutral:
            raise ApiError(
                400, f"{name} is not supported here: leave it out", param=name, code="unsupported"
            )
    if request.num_frames is not None and request.fps is not None:
        raise ApiError(400, "give num_frames or fps, not both", param="fps")


def wish_of(request: Answering) -> Wish:
    """Return how to answer."""
    length = request.max_completion_tokens or request.max_tokens or DEFAULT_MAX_TOKENS
    return Wish(
        max_new_tokens=length,
        temperature=request.temperature or 0.0,
        seed=request.seed or 0,
        top_p=1.0 if request.top_p is None else request.top_p,
    )


def stop_words(request: Answering) -> tuple[str, ...]:
    """Return the words before which the answer ends."""
    given = request.stop
    words = (given,) if isinstance(given, str) else tuple(given or ())
    return tuple(word for word in words if word)


def read_chat(request: ChatRequest, find: Find) -> tuple[Chat, list[StoredFile]]:
    """Return the question and the files that it is about; fetches them.

    Args:
        request: The request.
        find: Returns the file of an address.

    Raises:
        ApiError: The chat makes no sense, or a file cannot be had; the field is named.
    """
    files: list[StoredFile] = []
    messages: list[dict[str, Any]] = []
    for place, message in enumerate(request.messages):
        role = "system" if message.role == "developer" else message.role
        content = _content(message, f"messages.{place}", role, find, files)
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        elif role == "system" and messages:
            param = f"messages.{place}.role"
            raise ApiError(400, "system messages come before all others", param=param)
        else:
            messages.append({"role": role, "content": content})
    _check_turns(messages)
    num_frames, fps = request.num_frames, request.fps
    chat = Chat(
        messages=tuple(messages),
        media=tuple(Media(file.path, num_frames, fps) for file in files),
        wish=wish_of(request),
        stop=stop_words(request),
        tokens_per_frame=request.tokens_per_frame,
    )
    return chat, files


def _content(
    message: ChatMessage, place: str, role: str, find: Find, files: list[StoredFile]
) -> list[dict[str, str]]:
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}]
    parts: list[dict[str, str]] = []
    for number, part in enumerate(message.content):
        if isinstance(part, TextPart):
            parts.append({"type": "text", "text": part.text})
            continue
        name, address = _address(part)
        param = f"{place}.content.{number}.{name}"
        if role != "user":
            raise ApiError(400, "videos and pictures belong into user messages", param=param)
        if len(files) >= MAX_MEDIA:
            raise ApiError(400, f"a chat has at most {MAX_MEDIA} videos and pictures", param=param)
        try:
            files.append(find(address))
        except VideoLLMError as error:
            raise explain_refusal(error, param) from None
        parts.append({"type": "video"})
    return parts


def _address(part: VideoPart | ImagePart | FilePart) -> tuple[str, str]:
    if isinstance(part, VideoPart):
        return "video_url", part.video_url.url
    if isinstance(part, ImagePart):
        return "image_url", part.image_url.url
    return "file", part.file.file_id


def _check_turns(messages: list[dict[str, Any]]) -> None:
    turns = [one for one in messages if one["role"] != "system"]
    for index, turn in enumerate(turns):
        if turn["role"] != ("user", "assistant")[index % 2]:
            raise ApiError(400, "the chat begins with a user message", param="messages")
    if not turns or turns[-1]["role"] != "user":
        raise ApiError(400, "the last message is the user's question", param="messages")
    if not any(part["type"] == "text" and part["text"].strip() for part in turns[-1]["content"]):
        message = "the last message holds no question: add a text part"
        raise ApiError(400, message, param="messages")
