"""From the address in a request to a file that can be decoded, or a refusal in one sentence."""

import base64
import binascii
import hashlib
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from videollm.errors import RequestError, SourceAccessError
from videollm.serve.addresses import AddressRule
from videollm.serve.media_store import MediaStore, StoredFile, TooLargeError, too_large
from videollm.video_patience import Patience
from videollm.video_remote import RemoteFile

__all__ = ["MediaSources"]

CHUNK_BYTES = 2**18

FRESH_SECONDS = 300.0
"""How long a download stands for its address: the turns of a talk all name it."""


@dataclass(frozen=True, kw_only=True)
class MediaSources:
    """Find the file that a visitor means.

    Args:
        store: Keeps what is fetched, and has what was uploaded.
        rule: Which web servers may be fetched from.
        folders: Local files are read under these alone; none by default.
        fetch_seconds: The longest download.
    """

    store: MediaStore
    rule: AddressRule
    folders: Sequence[Path] = ()
    fetch_seconds: float = 30.0

    def find(self, address: str, owner: str = "") -> StoredFile:
        """Return the file of an address; may take as long as its download.

        Args:
            address: A data URL, an uploaded file's id, an http(s) address, or a local file.
            owner: Whose uploads count.

        Raises:
            VideoError: There is nothing, or it may not be had.
            TooLargeError: It is too large.
            RequestError: It is no address.
        """
        if address.startswith("data:"):
            return self._data(address)
        if address.startswith("file-"):
            return self._upload(address, owner)
        if address.startswith(("http://", "https://")):
            return self._fetch(address)
        if address.startswith(("/", "file:")):
            return self._local(address)
        remedy = "give an http(s) address, a data URL, or the id of an uploaded file"
        raise SourceAccessError(_short(address), "is no address that is read here", remedy)

    def _data(self, address: str) -> StoredFile:
        head, comma, body = address.partition(",")
        if not comma:
            raise RequestError("a data URL has no comma: write data:video/mp4;base64,...")
        try:
            if head.endswith(";base64"):
                data = base64.b64decode(unquote(body), validate=True)
            else:
                data = unquote_to_bytes(body)
        except (binascii.Error, ValueError):
            message = "a data URL is not valid base64: encode the file's bytes with base64"
            raise RequestError(message) from None
        key = f"data-{hashlib.sha256(data).hexdigest()}"
        known = self.store.find(key)
        return known or self._keep(key, key[:13], data)

    def _keep(self, key: str, label: str, data: bytes) -> StoredFile:
        if len(data) > self.store.max_file_bytes:
            raise TooLargeError(too_large(len(data), self.store.max_file_bytes))
        path = self.store.new_path(label)
        path.write_bytes(data)
        return self.store.add(StoredFile(key, path, len(data)))

    def _upload(self, key: str, owner: str) -> StoredFile:
        file = self.store.find(key, owner)
        if file is None or not file.is_upload:
            remedy = "upload it to /v1/files again: files are kept for a while only"
            raise SourceAccessError(_short(key), "there is no such file", remedy)
        return file

    def _fetch(self, address: str) -> StoredFile:
        self.rule.check(address)
        key = f"url-{address}"
        known = self.store.find(key)
        if known is not None and time.time() - known.created < FRESH_SECONDS:
            return known
        if known is not None:
            self.store.delete(known)
        path = self.store.new_path(f"url-{secrets.token_hex(4)}")
        try:
            num_bytes = self._download(address, path)
            return self.store.add(StoredFile(key, path, num_bytes))
        except BaseException:
            self.store.discard(path)
            raise

    def _download(self, address: str, path: Path) -> int:
        patience = Patience(self.fetch_seconds)
        num_bytes = 0
        with patience.opening(), path.open("wb") as output:
            remote = RemoteFile(_short(address), address, patience, connect=self.rule.connect)
            try:
                limit = self.store.max_file_bytes
                if (remote.size_bytes or 0) > limit:
                    raise TooLargeError(too_large(remote.size_bytes, limit))
                while data := remote.read(CHUNK_BYTES):
                    num_bytes += len(data)
                    if num_bytes > limit:
                        raise TooLargeError(too_large(None, limit))
                    output.write(data)
            finally:
                remote.close()
        return num_bytes

    def _local(self, address: str) -> StoredFile:
        text = unquote(urlsplit(address).path) if address.startswith("file:") else address
        remedy = "upload it, or let the server read that folder with --allowed-media"
        refusal = SourceAccessError(_short(address), "is not in a folder that may be read", remedy)
        if "\0" in text or urlsplit(address).netloc not in ("", "localhost"):
            raise refusal
        try:
            path = Path(text).resolve(strict=True)
            # what is outside must not even show whether it is there
            if not path.is_file() or not any(
                path.is_relative_to(folder.resolve()) for folder in self.folders
            ):
                raise refusal
            num_bytes = os.stat(path).st_size
        except (OSError, RuntimeError):
            raise refusal from None
        if num_bytes > self.store.max_file_bytes:
            raise TooLargeError(too_large(num_bytes, self.store.max_file_bytes))
        return StoredFile(f"local-{path}", path, num_bytes)


def _short(text: str) -> str:
    """Return an address for a message."""
    return text if len(text) <= 120 else f"{text[:100]}..."
