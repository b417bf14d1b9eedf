"""A stream in one safetensors file: its memory, the encoder's state, and what it was watched with.

Numbers and times are JSON in the file's metadata; nothing in it can run.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from videollm.encoder.state import VideoMAPState
from videollm.errors import DataError, ModelError
from videollm.memory_entry import MemoryEntry
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import Message
from videollm.stream_record import StreamOptions
from videollm.visual_stream import Progress, VisualStream

__all__ = ["HeldStream", "load_session", "save_session"]

SESSION_VERSION = 1
_SAMPLE = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldStream:
    """Hold what a session file holds.

    Args:
        options: How the stream was watched.
        progress: How far it had come.
        num_frames: Token frames that the memory had seen.
        entries: What the memory held.
        bank: What its bank held.
        bank_stride: Of which the frames in the bank are multiples.
        talk: Earlier turns.
    """

    options: StreamOptions
    progress: Progress
    num_frames: int
    entries: tuple[MemoryEntry, ...]
    bank: tuple[MemoryEntry, ...]
    bank_stride: int
    talk: tuple[Message, ...]


def save_session(
    path: str | os.PathLike[str],
    visual: VisualStream,
    options: StreamOptions,
    talk: Sequence[Message],
    model: VideoLLMForConditionalGeneration,
) -> None:
    """Write a session under another name, then give it its own.

    Args:
        path: The file; one that is there is replaced.
        visual: What was seen.
        options: How it was watched; a bank on disk will be in memory after loading.
        talk: Earlier turns.
        model: The model.

    Raises:
        DataError: The file cannot be written.
    """
    memory, progress = visual.memory, visual.progress
    bank = [] if memory.bank is None else memory.bank.entries
    state = {} if progress.state is None else progress.state.to_tensors()
    tensors = {f"state.{name}": value for name, value in state.items()}
    tensors |= {"entries": _joined(memory.entries), "bank": _joined(bank)}
    tensors["pending"] = progress.pending
    kept = asdict(options)
    kept["memory"]["bank_path"] = None
    facts = {
        "session_version": SESSION_VERSION,
        "model": _fingerprint(model),
        "options": kept,
        "frames_seen": progress.frames_seen,
        "last_seconds": progress.last_seconds,
        "pending_seconds": progress.pending_seconds,
        "num_frames": memory.num_frames,
        "entries": _facts(memory.entries),
        "bank": _facts(bank),
        "bank_stride": 1 if memory.bank is None else memory.bank.stride,
        "talk": list(talk),
    }
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        save_file(
            {name: value.cpu().contiguous() for name, value in tensors.items()},
            partial,
            metadata={"session": json.dumps(facts)},
        )
        partial.replace(target)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: the session cannot be written ({reason})") from error


def load_session(
    path: str | os.PathLike[str], model: VideoLLMForConditionalGeneration
) -> HeldStream:
    """Read a session that `save_session` wrote.

    Args:
        path: The file.
        model: The model that it was written with.

    Raises:
        DataError: It is no session file, or of a newer version.
        ModelError: It was written with another model.
    """
    try:
        with safe_open(path, framework="pt", device=str(model.device)) as file:
            facts = json.loads((file.metadata() or {}).get("session", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: no session of a stream can be read ({reason})") from error
    if not isinstance(facts, dict) or facts.get("session_version") != SESSION_VERSION:
        raise DataError(
            f"{path}: not a session of a stream that this videollm reads (version "
            f"{SESSION_VERSION}): give a file that StreamSession.save wrote"
        )
    if facts["model"] != _fingerprint(model):
        raise ModelError(
            f"{path}: this session was written with another model (encoder or projector differ): "
            "load it with the one it was written with"
        )
    return _held(facts, tensors)


def _held(facts: dict[str, Any], tensors: dict[str, Tensor]) -> HeldStream:
    options = dict(facts["options"])
    memory = options.pop("memory")
    prefix = "state."
    state = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
    progress = Progress(
        state=VideoMAPState.from_tensors(state, frames_seen=facts["num_frames"]) if state else None,
        pending=tensors["pending"].cpu(),
        pending_seconds=tuple(facts["pending_seconds"]),
        frames_seen=facts["frames_seen"],
        last_seconds=facts["last_seconds"],
    )
    return HeldStream(
        options=StreamOptions.of(**memory, **options),
        progress=progress,
        num_frames=facts["num_frames"],
        entries=tuple(_parted(facts["entries"], tensors["entries"])),
        bank=tuple(_parted(facts["bank"], tensors["bank"])),
        bank_stride=facts["bank_stride"],
        talk=tuple(facts["talk"]),
    )


def _facts(entries: Iterable[MemoryEntry]) -> list[list[float]]:
    return [
        [e.num_tokens, e.first_frame, e.last_frame, e.start_seconds, e.end_seconds] for e in entries
    ]


def _joined(entries: Sequence[MemoryEntry]) -> Tensor:
    return torch.cat([entry.tokens for entry in entries]) if entries else torch.empty(0)


def _parted(facts: list[list[Any]], tokens: Tensor) -> Iterable[MemoryEntry]:
    parts = tokens.split([fact[0] for fact in facts]) if facts else ()
    for (_, first, last, start, end), part in zip(facts, parts, strict=True):
        yield MemoryEntry(
            tokens=part.clone(),
            first_frame=first,
            last_frame=last,
            start_seconds=start,
            end_seconds=end,
        )


def _fingerprint(model: VideoLLMForConditionalGeneration) -> str:
    """Return a digest of what visual tokens depend on: the beginning of every weight."""
    digest = hashlib.sha256()
    for part in (model.vision_model, model.projector):
        for name, value in sorted(part.state_dict().items()):
            digest.update(f"{name} {tuple(value.shape)}".encode())
            sample = value.flatten()[:_SAMPLE].float().cpu().contiguous()
            digest.update(sample.numpy().tobytes())
    return digest.hexdigest()
