"""What a decode worker is given to read: a name that it can open itself, or the bytes."""

import os
from typing import BinaryIO

from videollm.errors import LiveSourceError, VideoError
from videollm.live_source import is_live_source
from videollm.video_channel import new_memory
from videollm.video_source import MediaSource, SharedFile, local_path, media_source

__all__ = ["parcel"]

COPY_BYTES = 2**20


def parcel(
    source: str | int | os.PathLike[str] | bytes | BinaryIO, name: str, *, max_bytes: int
) -> int | None:
    """Return the descriptor of memory with the bytes of a source; None for a path or an address.

    Args:
        source: A path, an address, bytes or a binary file object.
        name: What messages call it.
        max_bytes: The largest local file, and the most bytes.

    Raises:
        VideoError: It is larger than allowed, or no source at all.
        LiveSourceError: It is a camera or a stream without an end.
    """
    if is_live_source(source):
        remedy = "a decode worker reads recordings: watch it with videollm.live"
        live = f"camera:{source}" if isinstance(source, int) else name
        raise LiveSourceError(live, "is live and has no past to read", remedy)
    if isinstance(source, (str, os.PathLike)):
        path = local_path(source)
        if path is not None and os.path.isfile(path):
            _check_size(name, os.path.getsize(path), max_bytes)
        return None
    media = media_source(source)
    assert media.size_bytes is not None, "bytes and file objects have a size"
    _check_size(name, media.size_bytes, max_bytes)
    return _copy(media)


def _check_size(name: str, num_bytes: int, max_bytes: int) -> None:
    if num_bytes > max_bytes:
        finding = f"is {num_bytes / 2**20:.1f} MiB large"
        raise VideoError(name, finding, f"give at most {max_bytes / 2**20:.1f} MiB")


def _copy(media: MediaSource) -> int:
    file = media.handle()
    assert isinstance(file, SharedFile), "what has no name is a file object"
    memory = new_memory(0)
    try:
        with open(memory, "wb", closefd=False) as copy:
            while data := file.read(COPY_BYTES):
                copy.write(data)
    except BaseException:
        os.close(memory)
        raise
    return memory
