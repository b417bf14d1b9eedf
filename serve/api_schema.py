"""The requests of the API, as OpenAI's clients send them, with the parts that are ours."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["AskRequest", "ChatMessage", "ChatRequest", "LiveRequest", "PushRequest", "StandRequest"]

MAX_TEXT = 200_000
Words = Annotated[str, Field(max_length=MAX_TEXT)]


class Strict(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(extra="ignore", strict=True)


class TextPart(Strict):
    """Words."""

    type: Literal["text"]
    text: Words


class Address(Strict):
    """Where a video or picture is."""

    url: str = Field(
        min_length=1, description="http(s) address, data URL, uploaded file's id, or local file"
    )


class VideoPart(Strict):
    """A video."""

    type: Literal["video_url"]
    video_url: Address


class ImagePart(Strict):
    """A picture."""

    type: Literal["image_url"]
    image_url: Address


class FileName(Strict):
    """An uploaded file."""

    file_id: str = Field(min_length=1)


class FilePart(Strict):
    """An uploaded video or picture."""

    type: Literal["file"]
    file: FileName


Part = Annotated[TextPart | VideoPart | ImagePart | FilePart, Field(discriminator="type")]


class ChatMessage(Strict):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Words | list[Part]


class StreamChoices(Strict):
    """What a stream holds."""

    include_usage: bool | None = None


class Answering(Strict):
    """How to answer."""

    max_tokens: int | None = Field(None, ge=1, le=32768)
    max_completion_tokens: int | None = Field(None, ge=1, le=32768)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Words | Annotated[list[Words], Field(max_length=16)] | None = None
    stream: bool | None = None


class ChatRequest(Answering):
    """A chat that waits for its next answer."""

    model: str = Field("", max_length=1000)
    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    stream_options: StreamChoices | None = None
    num_frames: int | None = Field(None, ge=1, le=512, description="frames of each video")
    fps: float | None = Field(None, gt=0, le=120, description="frames a second instead")
    tokens_per_frame: int | None = Field(
        None, ge=1, le=4096, description="visual tokens for each frame, or pair of frames"
    )
    n: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    logprobs: bool | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None


class LiveRequest(Strict):
    """How to watch a stream."""

    budget_tokens: int = Field(2048, ge=1, le=65536)
    recent_frames: int = Field(8, ge=1, le=4096)
    policy: Literal["merge", "fifo", "uniform", "retrieve"] = "merge"
    talk_tokens: int = Field(0, ge=0, le=32768)


class PushRequest(Strict):
    """What to watch next."""

    url: str = Field(min_length=1, description="as in a chat; or a camera's rtsp(s) address")
    fps: float = Field(2.0, gt=0, le=60)


class AskRequest(Answering):
    """A question about what was seen until now."""

    question: Words = Field(min_length=1)


class StandRequest(Strict):
    """A question that is asked again and again."""

    question: Words = Field(min_length=1)
    every_seconds: float = Field(5.0, gt=0, le=86400)
