"""What the user gave as a video file, made ready for the decoder or refused.

Paths, addresses, bytes and file objects become one `MediaSource`, which can be opened again and
again, each time from its start. Nothing is decoded here.
"""

import io
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from videollm.errors import VideoError
from videollm.video_limits import MAX_PIXELS

__all__ = ["MediaSource", "local_path", "media_source", "source_name"]

GIVE_A_VIDEO = "give a video file such as mp4, mkv, webm, mov, avi or gif"


class SharedFile:
    """Read a binary file object from a position of its own, so that several can share it.

    Args:
        file: Seekable binary file object; it stays open and belongs to the caller.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`."""
        self._file.seek(self._position)
        data = self._file.read(size)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, and return the new position in bytes from the start."""
        if whence == os.SEEK_CUR:
            offset, whence = offset + self._position, os.SEEK_SET
        self._position = self._file.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        """Return the position in bytes from the start."""
        return self._position


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaSource:
    """Hold one source of encoded video.

    Args:
        name: What the user gave, for messages.
        location: A URL for the decoder, or a seekable binary file object.
        size_bytes: Size of a local source; None for a remote one.
        protocols: What the decoder may open on behalf of this source, comma separated, so that a
            playlist inside an upload cannot fetch anything else.
        max_pixels: Most pixels of a frame; more are refused before they are decoded.
    """

    name: str
    location: str | BinaryIO
    size_bytes: int | None
    protocols: str
    max_pixels: int = MAX_PIXELS

    @property
    def is_remote(self) -> bool:
        """Return whether reading costs network traffic."""
        return self.size_bytes is None

    def handle(self) -> str | SharedFile:
        """Return what to pass to the decoder: fresh, at the start."""
        return self.location if isinstance(self.location, str) else SharedFile(self.location)

    def options(self) -> Mapping[str, str]:
        """Return the options of the container layer."""
        return {"protocol_whitelist": self.protocols}

    def first_bytes(self) -> bytes:
        """Return how a local source begins, for messages."""
        if self.is_remote:
            return b""
        if not isinstance(self.location, str):
            return SharedFile(self.location).read(16)
        with open(self.location.removeprefix("file:"), "rb") as file:
            return file.read(16)


def source_name(source: object) -> str:
    """Return how messages call a source."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"<{len(source)} bytes>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else f"<{type(source).__name__}>"


def local_path(source: str | os.PathLike[str]) -> Path | None:
    """Return the local path that was meant, or None for an http(s) address.

    Args:
        source: A path, a `file:` URL or an http(s) URL.

    Raises:
        VideoError: It is empty, an address of another kind, or another machine's file.
    """
    text = os.fsdecode(source)
    if not text:
        raise VideoError("''", "the path is empty", "give the path of a video file")
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if text.startswith("file:"):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise VideoError(text, f"is a file of the machine {parts.netloc}", "copy it here")
        return Path(url2pathname(unquote(parts.path)))
    if scheme in ("http", "https"):
        return None
    if scheme:
        remedy = "give a local path, or an address that begins with file:, http: or https:"
        raise VideoError(text, f"{scheme}: addresses cannot be read", remedy)
    return Path(text)


def media_source(source: object) -> MediaSource:
    """Return the source of encoded video that was meant.

    Args:
        source: A path, a `file:` or http(s) URL, bytes, or a binary file object. A file object is
            read from its beginning whatever its position; one that cannot seek is read whole.

    Raises:
        VideoError: There is no such file, it is empty or not a regular file, it may not be read,
            or the argument is none of these.
    """
    name = source_name(source)
    if isinstance(source, (str, os.PathLike)):
        path = local_path(source)
        if path is not None:
            return _file_source(name, path)
        network = "http,https,tcp,tls,httpproxy,crypto"
        return MediaSource(name=name, location=name, size_bytes=None, protocols=network)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _object_source(name, io.BytesIO(source))
    if hasattr(source, "read"):
        return _object_source(name, _seekable(name, source))
    remedy = "give a path, an address, bytes, a binary file object, or frames as a uint8 tensor"
    raise VideoError(name, "is no video source", remedy)


def _file_source(name: str, path: Path) -> MediaSource:
    try:
        facts = path.stat()
        if stat.S_ISREG(facts.st_mode):
            path.open("rb").close()
    except FileNotFoundError:
        raise VideoError(name, "there is no such file", "check the path and its spelling") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise VideoError(name, f"cannot be opened ({reason})", "check the path") from None
    if not stat.S_ISREG(facts.st_mode):
        raise VideoError(name, "is not a regular file", GIVE_A_VIDEO)
    if facts.st_size == 0:
        raise VideoError(name, "the file is empty (0 bytes)", "copy or download it again")
    # The prefix keeps the decoder from reading a colon or a percent sign as syntax.
    location = f"file:{path.absolute()}"
    return MediaSource(name=name, location=location, size_bytes=facts.st_size, protocols="file")


def _object_source(name: str, file: BinaryIO) -> MediaSource:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        raise VideoError(name, "holds no bytes", "check that the upload or download finished")
    return MediaSource(name=name, location=file, size_bytes=size, protocols="data")


def _seekable(name: str, source: object) -> BinaryIO:
    if isinstance(source, io.TextIOBase):
        raise VideoError(name, "was opened as text", 'open it in binary mode, "rb"')
    seekable = getattr(source, "seekable", None)
    if callable(seekable) and seekable():
        return source  # type: ignore[return-value]
    data = source.read()  # type: ignore[attr-defined]
    if not isinstance(data, bytes):
        raise VideoError(name, f"its read() gives {type(data).__name__}, not bytes", GIVE_A_VIDEO)
    return io.BytesIO(data)
