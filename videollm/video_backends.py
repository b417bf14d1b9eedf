"""Which decoder supplies the pictures of an encoded video, and why.

    pyav        the default: reads everything that this package reads
    decord      optional; abandoned by its authors in 2022, for comparison with older work
    torchcodec  optional; needs the shared libraries of FFmpeg

The back end is the one asked for, else the one that the environment variable
VIDEOLLM_VIDEO_BACKEND names, else `pyav`. Times, sizes and counts always come from PyAV's packets:
another back end gives the same frames, or refuses the file.
"""

import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import av

from videollm.errors import RequestError, VideoLLMError
from videollm.video_container import has_bad_keyframe
from videollm.video_decord import DecordFrames
from videollm.video_file import FileTrack
from videollm.video_indexed import FrameStore, IndexedTrack, refusal
from videollm.video_source import MediaSource, media_source
from videollm.video_survey import Survey
from videollm.video_torchcodec import TorchcodecFrames
from videollm.video_track import Track

__all__ = [
    "BACKENDS",
    "BackendStatus",
    "backend_version",
    "choose_backend",
    "open_track",
    "probe_backends",
]

VARIABLE = "VIDEOLLM_VIDEO_BACKEND"
BACKENDS = ("pyav", "decord", "torchcodec")
STORES: dict[str, Callable[[MediaSource, int | None, Survey], FrameStore]] = {
    "decord": DecordFrames,
    "torchcodec": TorchcodecFrames,
}
REMEDIES = {
    "decord": "pip install 'videollm[decord]'",
    "torchcodec": "pip install 'videollm[torchcodec]', and FFmpeg's shared libraries (4 to 8)",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendStatus:
    """What is known of one back end on this machine.

    Attributes:
        name: As given to `VideoReader.open`.
        version: Of the package; empty where it is not installed.
        works: Whether it read a clip just now.
        chosen: Whether it is taken where none is asked for.
        reason: Why it does not work and what would change that; empty when it works.
    """

    name: str
    version: str
    works: bool
    chosen: bool
    reason: str


def choose_backend(requested: str | None) -> str:
    """Return the name of the back end that decodes: one that is known and installed.

    Args:
        requested: `pyav`, `decord`, `torchcodec`, or None for the environment's or the default.

    Raises:
        RequestError: The name is unknown, or that back end is not installed.
    """
    name, origin = requested, "backend"
    if name is None:
        name, origin = os.environ.get(VARIABLE) or "pyav", VARIABLE
    if name not in BACKENDS:
        raise RequestError(f"{origin} is {name!r}: choose {', '.join(BACKENDS)}")
    if name in REMEDIES and find_spec(name) is None:
        here = [other for other in BACKENDS if find_spec(_module(other))]
        raise RequestError(
            f"{origin} is {name!r}, which is not installed: {REMEDIES[name]}; "
            f"or choose from what is here: {', '.join(here)}"
        )
    return name


def open_track(name: str, source: MediaSource, video_stream: int | None) -> Track:
    """Return an encoded video, opened by a back end.

    Args:
        name: What `choose_backend` returned.
        source: Where the bytes come from.
        video_stream: Which of the file's video streams, from 0; None chooses the best.

    Raises:
        VideoError: There is no video in it, nothing of it decodes, or this back end would not give
            the frames that PyAV gives.
        RequestError: The back end is installed but cannot be loaded.
    """
    truth = FileTrack(source, video_stream)
    if name == "pyav":
        return truth
    try:
        # Another decoder knows no limit of pixels, and may hang on what is damaged.
        if has_bad_keyframe(source, video_stream):
            finding = "is not used where a keyframe is damaged or too large"
            raise refusal(source.name, backend_version(name), finding)
        return IndexedTrack(
            truth,
            backend=backend_version(name),
            open_store=lambda: STORES[name](source, video_stream, truth.survey),
        )
    except (ImportError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RequestError(
            f"{name} is installed but cannot be loaded ({lines[0]}): {REMEDIES[name]}"
        ) from error
    finally:
        truth.close()


def backend_version(name: str) -> str:
    """Return a back end's name and version, such as `pyav 18.1.0`."""
    return f"pyav {av.__version__}" if name == "pyav" else f"{name} {_version(name)}"


def probe_backends(clip: Path) -> list[BackendStatus]:
    """Read a clip with every back end and report what came of it.

    Args:
        clip: A file that PyAV reads.
    """
    try:
        default = choose_backend(None)
    except RequestError:
        default = ""
    statuses = []
    for name in BACKENDS:
        reason = ""
        try:
            track = open_track(choose_backend(name), media_source(clip), None)
            cursor = track.start()
            cursor.frame_at(track.metadata.duration_seconds)
            cursor.close()
            track.close()
        except VideoLLMError as error:
            reason = " ".join(str(error).split())
        statuses.append(
            BackendStatus(
                name=name,
                version=_version(name),
                works=not reason,
                chosen=name == default,
                reason=reason,
            )
        )
    return statuses


def _module(name: str) -> str:
    return "av" if name == "pyav" else name


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(_module(name))
    except importlib.metadata.PackageNotFoundError:
        return ""
