"""Clips that were decoded a moment ago, for the next question about the same file.

Only local files are remembered: their size, times and place on disk tell whether they changed.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from videollm.clip import Clip
from videollm.sampling import load_clip
from videollm.video import VideoReader, VideoSource
from videollm.video_backends import choose_backend

__all__ = ["ClipCache", "source_key"]

DEFAULT_MAX_BYTES = 256 * 2**20


class ClipCache:
    """Decode clips as `load_clip` does, and keep those asked for last; safe to share by threads.

    Args:
        max_bytes: Most bytes of frames to hold, at least 0; a larger clip is not kept.
        load: Decodes: `videollm.sampling.load_clip`, or that of a `DecodeWorker`.
    """

    def __init__(
        self, max_bytes: int = DEFAULT_MAX_BYTES, *, load: Callable[..., Clip] = load_clip
    ) -> None:
        self.max_bytes = max_bytes
        self._load = load
        self._clips: OrderedDict[object, Clip] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """Return how many bytes of frames are held."""
        with self._lock:
            return sum(clip.frames.nbytes for clip in self._clips.values())

    def load_clip(self, source: VideoSource | VideoReader, **options: Any) -> Clip:
        """Return a clip, decoded only if the file or an option is not as it was before.

        Args:
            source: Anything that `videollm.sampling.load_clip` takes.
            options: Its further arguments.

        Returns:
            The clip; it is shared, so it is not to be written to.

        Raises:
            VideoError: The source cannot be read as video.
            RequestError: An option is out of its range.
        """
        key = source_key(source, options)
        if key is None:
            return self._load(source, **options)
        with self._lock:
            if key in self._clips:
                self._clips.move_to_end(key)
                return self._clips[key]
        clip = self._load(source, **options)
        # A file that was written to meanwhile is of neither state.
        if key == source_key(source, options):
            self._keep(key, clip)
        return clip

    def _keep(self, key: object, clip: Clip) -> None:
        with self._lock:
            self._clips[key] = clip
            held = sum(kept.frames.nbytes for kept in self._clips.values())
            while held > self.max_bytes:
                _, dropped = self._clips.popitem(last=False)
                held -= dropped.frames.nbytes


def source_key(source: VideoSource | VideoReader, options: dict[str, Any]) -> object | None:
    """Return what decides which frames a source gives; None where it cannot be told.

    Args:
        source: Anything that `videollm.sampling.load_clip` takes.
        options: Its further arguments.
    """
    if not isinstance(source, (str, os.PathLike)):
        return None
    path = os.path.abspath(os.fsdecode(source))
    if not os.path.isfile(path):
        return None
    facts = os.stat(path)
    state = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    return path, state, choose_backend(None), tuple(sorted(options.items()))
