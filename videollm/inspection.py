"""What a video source is: facts, warnings, and some of its frames.

A recording is opened and, if that is wished, decoded to its end, so that all that is wrong with
it shows. A live source is watched for a moment.
"""

import hashlib
import math
import os
import time
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import torch

from videollm.clip import Clip
from videollm.errors import LiveSourceError, VideoError
from videollm.live import LiveOptions, LiveStream, is_live_source
from videollm.sampling import load_clip
from videollm.transforms import shrink_frame
from videollm.video import VideoReader, VideoSource
from videollm.video_source import local_path
from videollm.video_track import VideoMetadata

__all__ = ["Inspection", "inspect_source", "report_lines"]

LIVE_SECONDS = 3.0
"""How long a live source is watched."""

CHECK_FRAMES = 64
CHECK_SIDE_PIXELS = 32
MAX_HASHED_BYTES = 256 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """Hold what was found out about a source.

    Args:
        metadata: What is known of the video, with all warnings.
        clip: Some of its frames; None where none were asked for.
        size_bytes: Of a local file, else None.
        sha256: Of a local file of at most 256 MiB, else None.
    """

    metadata: VideoMetadata
    clip: Clip | None
    size_bytes: int | None
    sha256: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON-ready values, without the frames.

        `duration_seconds` and `num_frames` are None for a live source. Of the keyframes there are
        `num_keyframes` and `longest_keyframe_gap_seconds`, None where they are not known.
        """
        fields = asdict(self.metadata)
        keys = fields.pop("keyframe_seconds")
        is_live = math.isinf(self.metadata.duration_seconds)
        if is_live:
            fields |= {"duration_seconds": None, "num_frames": None}
        return fields | {
            "live": is_live,
            "num_keyframes": len(keys) or None,
            "longest_keyframe_gap_seconds": _longest_gap(self.metadata),
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
        }


def inspect_source(
    source: VideoSource,
    *,
    fps: float | None = None,
    backend: str | None = None,
    check: bool = False,
    num_frames: int = 0,
    max_side: int | None = None,
    **choice: Any,
) -> Inspection:
    """Return what a source is.

    Args:
        source: Anything that `VideoReader.open` takes.
        fps: Rate of folders and of frames in memory.
        backend: As `VideoReader.open` takes it.
        check: Whether to decode all of a recording; damage is then one of the warnings.
        num_frames: How many frames to return, 0 for none; of a live source at most so many.
        max_side: The longer side of these frames in pixels at most.
        choice: Which frames of a recording: the further arguments of `load_clip`.

    Raises:
        VideoError: The source cannot be read as video.
        RequestError: An argument is out of its range, or does not fit the source.
    """
    clip: Clip | None = None
    damage: tuple[str, ...] = ()
    with VideoReader.open(source, fps=fps, backend=backend) as reader:
        if math.isinf(reader.metadata.duration_seconds):
            if choice or check:
                finding = "is live: it has neither parts nor an end"
                raise LiveSourceError(reader.metadata.source, finding, "leave these options out")
            clip = _watch(source, num_frames, max_side) if num_frames else None
        else:
            damage = _check(reader) if check else ()
            if num_frames:
                clip = load_clip(reader, num_frames=num_frames, max_side=max_side, **choice)
        metadata = reader.metadata
    size_bytes, sha256 = _file_facts(source)
    metadata = replace(metadata, warnings=metadata.warnings + damage)
    return Inspection(metadata=metadata, clip=clip, size_bytes=size_bytes, sha256=sha256)


def report_lines(inspection: Inspection) -> list[str]:
    """Return the findings as lines for a person: a name, two spaces or more, a value."""
    found = inspection.metadata
    is_live = math.isinf(found.duration_seconds)
    shown = f"{found.width}x{found.height}"
    stored = f"{found.stored_width}x{found.stored_height}"
    turned = f", turned by {found.rotation_degrees} degrees" if found.rotation_degrees else ""
    aspect = f", pixels {found.pixel_aspect:.4g}:1" if found.pixel_aspect != 1 else ""
    size = shown if shown == stored and not turned else f"{shown} (stored {stored}{turned}{aspect})"
    length = "live" if is_live else f"{found.duration_seconds:.3f} s, {found.num_frames} frames"
    gap = _longest_gap(found)
    spacing = "" if gap is None else f", at most {gap:.2f} s apart"
    keys = f"{len(found.keyframe_seconds)}{spacing}" if found.keyframe_seconds else "not known"
    rows = {
        "source": found.source,
        "container": found.container or "none",
        "codec": ", ".join(filter(None, (found.codec, found.pixel_format))),
        "size": size,
        "length": f"{length}, {found.fps:.3f} frames per second",
        "keyframes": keys,
        "interlaced": "yes: frames show two moments at once" if found.interlaced else "no",
        "colours": found.colour or "rgb",
        "sound": "; ".join(found.audio) or "none",
        "back end": found.backend,
    }
    if inspection.size_bytes is not None:
        rows["file"] = f"{inspection.size_bytes} bytes"
    if inspection.sha256 is not None:
        rows["sha256"] = inspection.sha256
    lines = [f"{name:<11} {value}" for name, value in rows.items()]
    return lines + [f"{'warning':<11} {warning}" for warning in found.warnings]


def _watch(source: VideoSource, num_frames: int, max_side: int | None) -> Clip:
    """Return the first frames of a live source, within a moment."""
    until = time.monotonic() + LIVE_SECONDS
    pictures, seconds = [], []
    options = LiveOptions(reconnect_seconds=0.0)
    with LiveStream.open(source, fps=num_frames / LIVE_SECONDS, options=options) as stream:
        for frame in stream:
            pictures.append(shrink_frame(frame.picture, max_side))
            seconds.append(frame.media_seconds)
            if len(pictures) == num_frames or time.monotonic() > until:
                break
    return Clip(torch.stack(pictures), torch.tensor(seconds, dtype=torch.float64))


def _check(reader: VideoReader) -> tuple[str, ...]:
    """Return what stops decoding on the way to the end; what was mended the reader tells."""
    metadata = reader.metadata
    try:
        for first in range(0, metadata.num_frames, CHECK_FRAMES):
            numbers = range(first, min(first + CHECK_FRAMES, metadata.num_frames))
            times = [number / metadata.fps for number in numbers]
            reader.read(times, max_side=CHECK_SIDE_PIXELS)
        reader.read([metadata.duration_seconds], max_side=CHECK_SIDE_PIXELS)
    except VideoError as error:
        return (error.finding,)
    return ()


def _longest_gap(metadata: VideoMetadata) -> float | None:
    """Return the longest time from a keyframe to the next, or to the end; None if not known."""
    if not metadata.keyframe_seconds:
        return None
    ends = [*metadata.keyframe_seconds, metadata.duration_seconds]
    return max(after - before for before, after in pairwise(ends))


def _file_facts(source: VideoSource) -> tuple[int | None, str | None]:
    """Return size and digest of a local file."""
    path = None
    if isinstance(source, (str, os.PathLike)) and not is_live_source(source):
        path = local_path(source)
    if path is None or not path.is_file():
        return None, None
    size_bytes = path.stat().st_size
    if size_bytes > MAX_HASHED_BYTES:
        return size_bytes, None
    with path.open("rb") as file:
        return size_bytes, hashlib.file_digest(file, "sha256").hexdigest()
