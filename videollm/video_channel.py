"""Messages and pixels between a decode worker and its owner.

A message is a line of JSON behind its length; bulk data travel as the descriptor of a nameless
piece of memory beside it. Nothing is pickled, so a reply can hold nothing but data, and nothing has
a name in the file system that a killed process could leave behind.
"""

import json
import os
import socket
import struct
import tempfile
import time
from typing import Any

__all__ = ["Channel", "new_memory"]

LENGTH = struct.Struct("<I")


class Channel:
    """Send and receive messages over one end of a socket pair.

    Args:
        end: A connected stream socket that can pass descriptors; closed with the channel.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def fileno(self) -> int:
        """Return the socket's descriptor, to be polled."""
        return self._end.fileno()

    def close(self) -> None:
        """Close this end; the other one sees the end of the stream."""
        self._end.close()

    def send(self, message: dict[str, Any], memory: int | None = None) -> None:
        """Send a message, and the descriptor of a piece of memory with it.

        Raises:
            OSError: The other end is gone.
        """
        data = json.dumps(message).encode("ascii")
        self._end.settimeout(None)
        descriptors = [] if memory is None else [memory]
        socket.send_fds(self._end, [LENGTH.pack(len(data))], descriptors)
        self._end.sendall(data)

    def receive(self, seconds: float | None = None) -> tuple[dict[str, Any], int | None]:
        """Return the next message and the descriptor that came with it, which is the caller's.

        Args:
            seconds: The longest wait; None waits for ever.

        Raises:
            TimeoutError: The time is over.
            EOFError: The other end is gone.
        """
        until = None if seconds is None else time.monotonic() + seconds
        descriptors: list[int] = []
        try:
            (length,) = LENGTH.unpack(self._take(LENGTH.size, until, descriptors))
            message: dict[str, Any] = json.loads(self._take(length, until, descriptors))
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return message, descriptors[0] if descriptors else None

    def _take(self, length: int, until: float | None, descriptors: list[int]) -> bytes:
        data = b""
        while len(data) < length:
            if until is not None:
                self._end.settimeout(max(until - time.monotonic(), 1e-3))
            try:
                piece, received, _, _ = socket.recv_fds(self._end, length - len(data), 1)
            except ConnectionError:
                piece, received = b"", []
            for descriptor in received:
                os.set_inheritable(descriptor, False)
                descriptors.append(descriptor)
            if not piece:
                raise EOFError("the other end is gone")
            data += piece
        return data


def new_memory(num_bytes: int) -> int:
    """Return the descriptor of nameless memory, all zero; it lasts as long as someone holds it.

    Raises:
        OSError: There is not enough.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("videollm")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, num_bytes)
    return descriptor
