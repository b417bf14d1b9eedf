"""What the user gave as a video file, made ready for the decoder or refused.

Paths, addresses, bytes and file objects become one `MediaSource`, which can be opened again and
again, each time from its start. Nothing is decoded here.
"""

import io
import os
import re
import stat
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from videollm.errors import NoVideoError, SourceAccessError, SourceNotFoundError, VideoError
from videollm.video_limits import MAX_PIXELS
from videollm.video_patience import Patience
from videollm.video_website import HEAD_BYTES, Website

__all__ = ["MediaSource", "local_path", "media_source", "source_name"]

DEFAULT_TIMEOUT_SECONDS = 5.0
"""How long opening may take, unless the user says otherwise."""

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
        """Return the next bytes, at most `size`, or all if that is negative."""
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
        location: A URL for the decoder, a seekable binary file object, or a web address.
        size_bytes: Size of a local source; None for a remote one.
        protocols: What the decoder may open by itself on behalf of this source, comma separated,
            so that a playlist inside an upload cannot fetch anything else.
        max_pixels: Most pixels of a frame; more are refused before they are decoded.
    """

    name: str
    location: str | BinaryIO | Website
    size_bytes: int | None
    protocols: str
    max_pixels: int = MAX_PIXELS

    @property
    def is_remote(self) -> bool:
        """Return whether reading costs network traffic."""
        return isinstance(self.location, Website)

    @property
    def is_local(self) -> bool:
        """Return whether reading it again gives the same, at no cost."""
        return not self.is_remote

    def is_endless(self, duration: int | None) -> bool:
        """Return whether nothing tells where the source ends.

        Args:
            duration: What the container says, in any unit; None or 0 if it does not say.

        Raises:
            VideoError: It is remote, and absent or out of reach.
        """
        site = self.location
        return isinstance(site, Website) and not duration and (site.is_playlist or not site.has_end)

    def opening(self) -> AbstractContextManager[None]:
        """Return a context in which a remote source must show a picture within its time limit."""
        if isinstance(self.location, Website):
            return self.location.patience.opening()
        return nullcontext()

    def handle(self) -> str | SharedFile:
        """Return what to pass to the decoder: fresh, at the start."""
        if isinstance(self.location, Website):
            return self.location.url
        return self.location if isinstance(self.location, str) else SharedFile(self.location)

    def options(self) -> Mapping[str, str]:
        """Return the options of the container layer."""
        return {"protocol_whitelist": self.protocols}

    def first_bytes(self) -> bytes:
        """Return how the source begins: content decides what it is, not its name.

        Raises:
            VideoError: It is remote, and absent or out of reach.
        """
        if isinstance(self.location, Website):
            return self.location.head
        return self._local_bytes(HEAD_BYTES)

    def all_bytes(self) -> bytes:
        """Return everything that the source holds, for decoders that want it at once.

        Raises:
            VideoError: It is remote, and absent or out of reach.
        """
        if isinstance(self.location, Website):
            return self.location.content()
        return self._local_bytes(-1)

    def _local_bytes(self, size: int) -> bytes:
        handle = self.handle()
        if not isinstance(handle, str):
            return handle.read(size)
        with open(handle.removeprefix("file:"), "rb") as file:
            return file.read(size)


def source_name(source: object) -> str:
    """Return how messages call a source: as it was given, but for passwords."""
    if isinstance(source, (str, os.PathLike)):
        return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", os.fsdecode(source))
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
        raise SourceNotFoundError("''", "the path is empty", "give the path of a video file")
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


def media_source(source: object, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> MediaSource:
    """Return the source of encoded video that was meant; nothing is fetched yet.

    Args:
        source: A path, a `file:` or http(s) URL, bytes, or a binary file object. A file object is
            read from its beginning whatever its position; one that cannot seek is read whole.
        timeout_seconds: How long a web address may take to open, above 0.

    Raises:
        VideoError: There is no such file, it is empty or not a regular file, it may not be read,
            or the argument is none of these.
    """
    name = source_name(source)
    if isinstance(source, (str, os.PathLike)):
        path = local_path(source)
        if path is not None:
            return _file_source(name, path)
        website = Website(os.fsdecode(source), Patience(timeout_seconds), name=name)
        return MediaSource(name=name, location=website, size_bytes=None, protocols="data")
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
        remedy = "check the path and its spelling"
        raise SourceNotFoundError(name, "there is no such file", remedy) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        finding = f"cannot be opened ({reason})"
        raise SourceAccessError(name, finding, "check the path and its permissions") from None
    if not stat.S_ISREG(facts.st_mode):
        raise NoVideoError(name, "is not a regular file", GIVE_A_VIDEO)
    if facts.st_size == 0:
        raise NoVideoError(name, "the file is empty (0 bytes)", "copy or download it again")
    # The prefix keeps the decoder from reading a colon or a percent sign as syntax.
    location = f"file:{path.absolute()}"
    return MediaSource(name=name, location=location, size_bytes=facts.st_size, protocols="file")


def _object_source(name: str, file: BinaryIO) -> MediaSource:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        remedy = "check that the upload or download finished"
        raise NoVideoError(name, "holds no bytes", remedy)
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
