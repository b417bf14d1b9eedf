"""A web address as a file that can be read and sought in, with a limit on every wait.

Reading goes on after a broken connection where it stopped, redirects are followed, and whatever
goes wrong is one `VideoError` of the kind that says what to do. Only http and https are fetched.
"""

import base64
import http.client
import os
import socket
import ssl
import threading
import time
from contextlib import suppress
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from videollm.errors import (
    NoVideoError,
    SourceAccessError,
    SourceNotFoundError,
    SourceUnreachableError,
    VideoError,
)
from videollm.video_connection import Connect, connection_to
from videollm.video_patience import Patience

__all__ = ["RemoteFile"]

MAX_REDIRECTS = 10
MAX_ATTEMPTS = 3
MAX_SKIP_BYTES = 256 * 2**10


class RemoteFile:
    """Read what an http(s) address holds, from any position.

    A server that cannot send parts is asked again from the beginning, and what comes before the
    position is thrown away: slow, and right.

    Args:
        name: What the user gave, for messages.
        url: The address.
        patience: How long to wait.
        position: Where to begin, in bytes.
        connect: Makes the connections, also those that redirects lead to.

    Raises:
        VideoError: There is no such address, or it cannot be reached.
    """

    def __init__(
        self,
        name: str,
        url: str,
        patience: Patience,
        position: int = 0,
        *,
        connect: Connect = connection_to,
    ) -> None:
        self.url = url
        self.size_bytes: int | None = None
        self._socket: socket.socket | None = None
        self._body: http.client.HTTPResponse | None = None
        self._name = name
        self._patience = patience
        self._connect = connect
        self._position = position
        self._head = b""
        self._body_position = 0
        self._request()

    def __del__(self) -> None:
        # The decoder does not close the files that are opened for it.
        self.close()

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end.

        Raises:
            VideoError: They did not come in time, or the connection broke too often.
        """
        if self._position < len(self._head):
            data = self._head[self._position :][:size]
            self._position += len(data)
            return data
        for _ in range(MAX_ATTEMPTS):
            if self.size_bytes is not None and self._position >= self.size_bytes:
                return b""
            received = self._receive(size) if self._aim() else None
            if received:
                self._position += len(received)
                return received
            if received is not None and self.size_bytes is None:
                return b""
            self.close()
            if self.size_bytes is None:
                break
        promised = "" if self.size_bytes is None else f" of {self.size_bytes}"
        finding = f"the connection broke after {self._position}{promised} bytes"
        raise SourceUnreachableError(self._name, finding, "try again, or download it")

    def peek(self, size: int) -> bytes:
        """Return the first bytes of all, at most `size`, without moving; they are kept.

        Raises:
            VideoError: They did not come in time, or the connection broke too often.
        """
        head = b""
        while len(head) < size and (data := self.read(size - len(head))):
            head += data
        self._head, self._position = head, 0
        return head

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, and return the new position in bytes from the start."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self.size_bytes or 0
        self._position = max(offset, 0)
        return self._position

    def tell(self) -> int:
        """Return the position in bytes from the start."""
        return self._position

    def seekable(self) -> bool:
        """Return whether there is an end, so that moving about makes sense."""
        return self.size_bytes is not None

    def close(self) -> None:
        """Close the connection; the next read makes a new one."""
        if self._body is not None:
            self._body.close()
            self._body = None
        if self._socket is not None:
            self._patience.forget(self._socket)
            self._socket.close()
            self._socket = None

    def _aim(self) -> bool:
        """Bring the body to the position; return whether that worked."""
        skip = self._position - self._body_position
        if self._body is None or not 0 <= skip <= MAX_SKIP_BYTES:
            self.close()
            self._request()
        while self._body_position < self._position:
            if not self._receive(self._position - self._body_position):
                return False
        return True

    def _receive(self, size: int) -> bytes | None:
        """Return bytes as they come, none at the end of the body, or None for a broken one."""
        assert self._body is not None, "an aimed file has a body"
        assert self._socket is not None, "a body has a connection"
        seconds = self._patience.seconds(self._name)
        if self._body.isclosed():
            return b""
        try:
            self._socket.settimeout(seconds)
            data = self._body.read1(min(size, MAX_SKIP_BYTES))
        except TimeoutError:
            raise self._patience.late(self._name) from None
        except (OSError, http.client.HTTPException, ValueError):
            self._patience.seconds(self._name)
            return None
        self._body_position += len(data)
        return data

    def _request(self) -> None:
        """Ask for the bytes from the position on, wherever that leads."""
        seen = [self.url]
        while True:
            answer = self._ask(self.url)
            target = answer.getheader("Location")
            if answer.status not in (301, 302, 303, 307, 308) or target is None:
                break
            self.close()
            self.url = urljoin(self.url, target)
            if urlsplit(self.url).scheme not in ("http", "https"):
                finding = f"leads to {self.url}, which is no web address"
                raise SourceAccessError(self._name, finding, "give the address of the file itself")
            if self.url in seen or len(seen) > MAX_REDIRECTS:
                finding = f"is redirected in a circle or too often ({len(seen)} times)"
                remedy = "open it in a browser and give the address where it ends"
                raise SourceUnreachableError(self._name, finding, remedy)
            seen.append(self.url)
        if answer.status not in (200, 206):
            self.close()
            raise self._refusal(answer)
        self._accept(answer)

    def _accept(self, answer: http.client.HTTPResponse) -> None:
        part, _, total = (answer.getheader("Content-Range") or "").partition("/")
        size: int | None
        if answer.status == 206 and part.startswith("bytes "):
            start = part.removeprefix("bytes ").partition("-")[0]
            self._body_position = int(start) if start.isdigit() else self._position
            size = int(total) if total.isdigit() else None
        else:
            self._body_position = 0
            size = answer.length
        if self.size_bytes not in (None, size):
            finding = f"had {self.size_bytes} bytes and now has {size}"
            raise SourceUnreachableError(self._name, finding, "it was replaced: open it again")
        self.size_bytes = size

    def _ask(self, url: str) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Range": f"bytes={self._position}-",
            "User-Agent": "videollm",
        }
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        seconds = self._patience.seconds(self._name)
        began = time.monotonic()
        # A server that sends its headers letter by letter is never late for the next one.
        guard = threading.Timer(seconds, self._cut)
        guard.daemon = True
        guard.start()
        try:
            connection, target = self._connect(parts, seconds)
            connection.connect()
            self._socket = connection.sock
            self._patience.watch(connection.sock)
            connection.request("GET", target, headers=headers)
            self._body = connection.getresponse()
        except VideoError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            if isinstance(error, TimeoutError) or time.monotonic() - began >= seconds:
                raise self._patience.late(self._name) from None
            self._patience.seconds(self._name)
            raise self._unreachable(parts, error) from None
        finally:
            guard.cancel()
        return self._body

    def _cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _unreachable(self, parts: SplitResult, error: Exception) -> VideoError:
        if isinstance(error, ssl.SSLCertVerificationError):
            finding = f"the certificate of {parts.hostname} is not valid ({error.verify_message})"
            return SourceAccessError(self._name, finding, "check the address and this clock")
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        finding = f"{parts.hostname} cannot be reached ({reason})"
        return SourceUnreachableError(self._name, finding, "check the address and the network")

    def _refusal(self, answer: http.client.HTTPResponse) -> VideoError:
        finding = f"the server says {answer.status} {answer.reason}".rstrip()
        if answer.status in (404, 410):
            return SourceNotFoundError(self._name, finding, "check the address")
        if answer.status in (401, 402, 403, 407, 451):
            remedy = "download it where you are signed in, and give its path"
            return SourceAccessError(self._name, finding, remedy)
        if answer.status == 416 and self._position == 0:
            return NoVideoError(self._name, "holds no bytes", "check that the upload finished")
        if answer.status == 416:
            finding = f"there is nothing after byte {self._position}, though more was promised"
            return SourceUnreachableError(self._name, finding, "download it and give its path")
        return SourceUnreachableError(self._name, finding, "try again later")
