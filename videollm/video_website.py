"""A web address as the decoder meets it: one file, or an HLS playlist that names others.

Only the address itself is fetched, and http(s) addresses that a playlist found there names.
"""

import io
from collections.abc import Mapping
from urllib.parse import urlsplit

from videollm.errors import SourceAccessError, VideoError
from videollm.video_patience import Patience
from videollm.video_remote import RemoteFile

__all__ = ["HEAD_BYTES", "Visit", "Website"]

HEAD_BYTES = 32
"""Enough to tell what a file is."""


class Website:
    """Open a web address as often as it takes.

    Args:
        url: The address, as the user gave it.
        patience: How long to wait.
        name: What messages call it.
    """

    def __init__(self, url: str, patience: Patience, *, name: str) -> None:
        self.name = name
        self.url = url
        self.patience = patience
        self._head: bytes | None = None
        self._has_end = True
        self._unused: RemoteFile | None = None

    @property
    def head(self) -> bytes:
        """Return the first bytes; the first call fetches them, and learns where redirects end.

        Raises:
            VideoError: There is no such address, or it cannot be reached.
        """
        if self._head is None:
            file = RemoteFile(self.name, self.url, self.patience)
            self.url, self._has_end = file.url, file.seekable()
            self._head = file.peek(HEAD_BYTES)
            self._unused = file
        return self._head

    @property
    def is_playlist(self) -> bool:
        """Return whether it is an HLS playlist."""
        return self.head.startswith((b"#EXTM3U", b"\xef\xbb\xbf#EXTM3U"))

    @property
    def has_end(self) -> bool:
        """Return whether the server states how long it is."""
        return bool(self.head) and self._has_end

    def content(self) -> bytes:
        """Return everything it holds.

        Raises:
            VideoError: It is out of reach, or stops halfway.
        """
        file = self.open_whole()
        try:
            return b"".join(iter(lambda: file.read(2**20), b""))
        finally:
            file.close()

    def open_whole(self) -> RemoteFile:
        """Return the address as a file, at its start."""
        file, self._unused = self._unused, None
        return file or RemoteFile(self.name, self.url, self.patience)


class Visit:
    """Open files for one container of the decoder.

    The decoder goes on after a part that it could not have, and complains of every further error;
    so only the first one is raised, and everything after it looks like the end.

    Args:
        website: What is visited.
    """

    def __init__(self, website: Website) -> None:
        self.is_over = False
        self._website = website

    def open_file(
        self, url: str, flags: int, options: Mapping[str, str]
    ) -> "_VisitedFile | io.BytesIO":
        """Return a file; the signature is that of the decoder's `io_open`.

        Raises:
            VideoError: It may not be fetched, or cannot be reached.
        """
        if self.is_over:
            return io.BytesIO()
        try:
            return _VisitedFile(self._open(url, int(options.get("offset", "0"))), self)
        except VideoError:
            self.is_over = True
            raise

    def _open(self, url: str, offset: int) -> RemoteFile:
        website = self._website
        if url == website.url and offset == 0:
            return website.open_whole()
        if url.startswith("crypto"):
            remedy = "download and decrypt it first"
            raise SourceAccessError(website.name, "is encrypted", remedy)
        if not website.is_playlist or urlsplit(url).scheme not in ("http", "https"):
            finding = f"asks for {url}, which may not be fetched on its behalf"
            raise SourceAccessError(website.name, finding, "give the address of the video itself")
        return RemoteFile(f"{website.name} (part {url})", url, website.patience, offset)


class _VisitedFile:
    """A remote file that fails only once in a visit."""

    def __init__(self, file: RemoteFile, visit: Visit) -> None:
        self._file = file
        self._visit = visit
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self.close = file.close

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end, or after an error."""
        if self._visit.is_over:
            return b""
        try:
            return self._file.read(size)
        except VideoError:
            self._visit.is_over = True
            raise
