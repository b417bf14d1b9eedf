"""How a stream is watched, what is known of it, and what an answer says beside its words."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from videollm.errors import RequestError
from videollm.memory import MemoryOptions
from videollm.runtime import rss_bytes

__all__ = ["StreamAnswer", "StreamOptions", "StreamRecord", "StreamStats"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamOptions:
    """How a stream is watched.

    Args:
        memory: What is remembered of it.
        chunk_frames: The most frames that are encoded at once, at least 1.
        prefill_tokens: The most tokens of a prompt that the language model reads at once.
        kv_cache: The language model's cache, one of `videollm.kv_cache.CACHE_KINDS`.
        talk_tokens: Tokens of earlier turns that stay in the prompt behind the video; the oldest
            whole turns go first. 0: every question stands for itself.

    Raises:
        RequestError: A number is out of its range.
    """

    memory: MemoryOptions = field(default_factory=MemoryOptions)
    chunk_frames: int = 32
    prefill_tokens: int = 512
    kv_cache: str = "plain"
    talk_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        for name, least in (("chunk_frames", 1), ("prefill_tokens", 1), ("talk_tokens", 0)):
            if getattr(self, name) < least:
                raise RequestError(f"{name} is {getattr(self, name)}; it is at least {least}")

    @classmethod
    def of(cls, **options: Any) -> "StreamOptions":
        """Return options from flat names: those of `MemoryOptions` and those of this class.

        Raises:
            RequestError: A name is unknown, or a value is out of its range.
        """
        own = set(cls.__dataclass_fields__) - {"memory"}
        known = own | set(MemoryOptions.__dataclass_fields__)
        unknown = sorted(set(options) - known)
        if unknown:
            raise RequestError(
                f"a stream has no option {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
        memory = {name: value for name, value in options.items() if name not in own}
        rest = {name: value for name, value in options.items() if name in own}
        return cls(memory=MemoryOptions(**memory), **rest)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamStats:
    """Hold the state of a stream in numbers.

    Args:
        frames_seen: Frames that were pushed.
        seconds_seen: Time of the last of them; 0 before the first.
        tokens_held: Visual tokens in memory; never above the budget.
        entries_held: Entries that they belong to.
        state_bytes: The encoder's state; the same from the second chunk on.
        memory_bytes: The tokens held.
        bank_bytes: The bank of `retrieve`.
        cache_bytes: The language model's cache of the last prompt.
        encode_seconds: Time spent in `push` so far.
        rss_bytes: Resident memory of this process.
    """

    frames_seen: int
    seconds_seen: float
    tokens_held: int
    entries_held: int
    state_bytes: int
    memory_bytes: int
    bank_bytes: int
    cache_bytes: int
    encode_seconds: float
    rss_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamAnswer:
    """One answer in the middle of a stream.

    Args:
        at_seconds: Time of the last frame that was seen.
        question: What was asked.
        answer: The text.
        frames_seen: Frames pushed by then.
        tokens_held: Visual tokens in the prompt.
        state_bytes: The encoder's state.
        rss_bytes: Resident memory of this process when the answer was whole.
        prompt_tokens: All tokens of the prompt.
        reused_tokens: Those that were in the language model's cache already.
        timings: Seconds from the call on: `first_token` and `total`.
    """

    at_seconds: float
    question: str
    answer: str
    frames_seen: int
    tokens_held: int
    state_bytes: int
    rss_bytes: int
    prompt_tokens: int
    reused_tokens: int
    timings: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that the command line promises, as JSON-ready values."""
        hidden = ("prompt_tokens", "reused_tokens", "timings")
        return {name: value for name, value in asdict(self).items() if name not in hidden}


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamRecord:
    """What is known before the text is: becomes the answer once it is complete.

    Args:
        fields: Of `StreamAnswer`, those known when the question came.
        start: The clock when it came.
        marks: Receives "first_token", the clock when the first token was there, and
            "reused_tokens".
        keep: Is given the text.
    """

    fields: dict[str, Any]
    start: float
    marks: dict[str, float]
    keep: Callable[[str], None] = lambda text: None

    def finish(self, text: str) -> StreamAnswer:
        """Return the answer with this text, finished now."""
        end = time.perf_counter()
        self.keep(text.strip())
        return StreamAnswer(
            answer=text.strip(),
            rss_bytes=rss_bytes(),
            reused_tokens=int(self.marks.get("reused_tokens", 0)),
            timings={
                "first_token": round(self.marks.get("first_token", end) - self.start, 4),
                "total": round(end - self.start, 4),
            },
            **self.fields,
        )
