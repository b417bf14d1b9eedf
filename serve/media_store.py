"""The files that visitors bring: kept for a while, bounded in size, gone with the server.

Every file lies in a folder of its own under a name that is ours, so that nothing a visitor wrote
becomes part of a path, and no file can name another.
"""

import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from videollm.closing import Closing
from videollm.errors import RequestError

__all__ = ["MediaStore", "StoredFile", "TooLargeError"]

logger = logging.getLogger(__name__)


class TooLargeError(RequestError):
    """Say that something is larger than it may be."""


@dataclass(eq=False)
class StoredFile:
    """Hold a file and what is known of it.

    Args:
        key: Its name here.
        path: Where it lies.
        num_bytes: Its size.
        owner: Who may use it; empty is everybody.
        title: What its owner calls it; never part of a path.
        purpose: What its owner wants it for.
        created: Seconds since 1970.
        is_upload: Whether its owner can list and delete it.
    """

    key: str
    path: Path
    num_bytes: int
    owner: str = ""
    title: str = ""
    purpose: str = ""
    created: float = field(default_factory=time.time)
    is_upload: bool = False
    used: float = 0.0
    num_holders: int = 0


class MediaStore(Closing):
    """Keep files in a temporary folder.

    Args:
        max_file_bytes: The largest file.
        max_bytes: All files together.
        keep_seconds: A file that nobody used for longer is deleted.
        clock: Seconds that never fall.
    """

    def __init__(
        self,
        *,
        max_file_bytes: int = 200 * 2**20,
        max_bytes: int = 4 * 2**30,
        keep_seconds: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_file_bytes = max_file_bytes
        self.max_bytes = max_bytes
        self.keep_seconds = keep_seconds
        self.folder = Path(tempfile.mkdtemp(prefix="videollm-"))
        self._clock = clock
        self._files: dict[str, StoredFile] = {}
        self._lock = threading.Lock()

    def new_path(self, label: str) -> Path:
        """Return a path for a file that is still to be written; `add` it, or `discard` it.

        Args:
            label: How messages call the file; ours, not a visitor's.
        """
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        return folder / label

    def discard(self, path: Path) -> None:
        """Delete a file that was not added.

        Args:
            path: As `new_path` gave it.
        """
        shutil.rmtree(path.parent, ignore_errors=True)

    def add(self, file: StoredFile) -> StoredFile:
        """Keep a file; one that is there under the same key stays, and this one goes.

        Args:
            file: Its path is one of `new_path`.

        Returns:
            The file that is kept.

        Raises:
            TooLargeError: It is too large, or there is no room.
        """
        with self._lock:
            self._expire()
            if file.key in self._files:
                self.discard(file.path)
                return self._files[file.key]
            try:
                self._make_room(file.num_bytes)
            except TooLargeError:
                self.discard(file.path)
                raise
            file.used = self._clock()
            self._files[file.key] = file
            return file

    def find(self, key: str, owner: str = "") -> StoredFile | None:
        """Return a file, or None where the asker has none of this name.

        Args:
            key: Its name here.
            owner: Who asks.
        """
        with self._lock:
            self._expire()
            file = self._files.get(key)
            if file is None or file.owner not in ("", owner):
                return None
            file.used = self._clock()
            return file

    def uploads(self, owner: str = "") -> list[StoredFile]:
        """Return the uploads of an owner, oldest first."""
        with self._lock:
            self._expire()
            return [one for one in self._files.values() if one.is_upload and one.owner == owner]

    def delete(self, file: StoredFile) -> None:
        """Forget a file now, and delete it once nobody holds it."""
        with self._lock:
            self._files.pop(file.key, None)
            if not file.num_holders:
                self.discard(file.path)

    @contextmanager
    def hold(self, files: list[StoredFile]) -> Iterator[None]:
        """Keep files from being deleted for their age or size while the block runs."""
        with self._lock:
            for file in files:
                file.num_holders += 1
        try:
            yield
        finally:
            with self._lock:
                for file in files:
                    file.num_holders -= 1
                    file.used = self._clock()
                    is_ours = file.path.is_relative_to(self.folder)
                    if is_ours and not file.num_holders and self._files.get(file.key) is not file:
                        self.discard(file.path)

    def close(self) -> None:
        """Delete everything."""
        with self._lock:
            self._files.clear()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _expire(self) -> None:
        now = self._clock()
        for file in list(self._files.values()):
            if not file.num_holders and now - file.used > self.keep_seconds:
                self._drop(file)

    def _make_room(self, num_bytes: int) -> None:
        if num_bytes > self.max_file_bytes:
            raise TooLargeError(too_large(num_bytes, self.max_file_bytes))
        held = sum(file.num_bytes for file in self._files.values())
        spare = [f for f in self._files.values() if not f.num_holders and not f.is_upload]
        for file in sorted(spare, key=lambda file: file.used):
            if held + num_bytes <= self.max_bytes:
                break
            held -= file.num_bytes
            self._drop(file)
        if held + num_bytes > self.max_bytes:
            raise TooLargeError(
                f"the server holds {held / 2**20:.0f} MiB of files and takes no more than "
                f"{self.max_bytes / 2**20:.0f} MiB: delete files, or try again later"
            )

    def _drop(self, file: StoredFile) -> None:
        del self._files[file.key]
        self.discard(file.path)


def too_large(num_bytes: int | None, limit: int) -> str:
    """Return what to say of a file that is too large.

    Args:
        num_bytes: Its size; None where only the limit is known to be passed.
        limit: What is allowed.
    """
    size = "more" if num_bytes is None else f"{num_bytes / 2**20:.1f} MiB"
    return (
        f"the file has {size}, and at most {limit / 2**20:.1f} MiB are taken: cut it, or scale it "
        "down, first"
    )
