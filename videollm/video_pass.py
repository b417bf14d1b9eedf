"""One way through an opened file: its packets in order, each with what the decoder made of it.

The packets that a survey reads are kept, up to a bound, and decoded when frames are asked for, so
that an ordinary clip is opened once, read once and decoded once.
"""

from collections import deque
from collections.abc import Iterator

import av
import torch
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videollm.video_container import open_media, read_packets
from videollm.video_source import MediaSource

__all__ = ["Decoded", "MediaPass", "threads_for"]

MAX_KEPT_BYTES = 32 * 2**20
MAX_THREADS = 4
MIN_THREADED_PIXELS = 1_000_000
"""Pixels of all frames together from which threads are worth starting."""

Decoded = tuple["Packet[VideoStream]", "list[VideoFrame] | av.FFmpegError"]
"""A packet, and the frames that the decoder gave for it or why it gave none."""


def threads_for(num_pixels: int) -> int:
    """Return how many threads should decode a video: never more than torch may use itself.

    Args:
        num_pixels: Of all frames together.
    """
    return min(torch.get_num_threads(), MAX_THREADS) if num_pixels >= MIN_THREADED_PIXELS else 1


class MediaPass:
    """Open a file and walk over its packets; `seek` goes elsewhere.

    Args:
        source: Where the bytes come from.
        video_stream: Which of the file's video streams, from 0; None chooses the best.
        threads: As `use_threads`.

    Raises:
        VideoError: It is no container, it has no such video stream, or no decoder reads it.
    """

    def __init__(self, source: MediaSource, video_stream: int | None, *, threads: int = 1) -> None:
        self.container, self.stream = open_media(source, video_stream)
        self.use_threads(threads)
        self._kept: deque[Packet[VideoStream]] = deque()
        self._decoded: deque[Decoded] = deque()
        self._is_read = False
        self.is_encrypted = False
        self._end: av.FFmpegError | None = None

    def use_threads(self, threads: int) -> None:
        """Decode several frames at once, from the first one on.

        Args:
            threads: How many; with 1 the decoder is left as it comes.
        """
        if threads > 1:
            self.stream.codec_context.thread_count = threads
            # Not by slices: h264 would leave out its error concealment.
            self.stream.codec_context.thread_type = "FRAME"

    def read_ahead(self) -> "Iterator[Packet[VideoStream]]":
        """Yield the packets to the end or to the first unreadable place, and keep them.

        Beyond the bound on bytes they are no longer kept; `is_whole` tells.
        """
        num_bytes = 0
        try:
            for packet in read_packets(self.container, self.stream):
                self._look_at(packet)
                num_bytes += packet.size
                if num_bytes <= MAX_KEPT_BYTES or not self._kept:
                    self._kept.append(packet)
                yield packet
        except MemoryError:
            raise
        except av.FFmpegError as error:
            # What was read so far counts; whoever decodes comes to the same end and judges it.
            self._end = _bare(error)
        self._is_read = num_bytes <= MAX_KEPT_BYTES

    @property
    def is_whole(self) -> bool:
        """Return whether everything that was read ahead is still to come from `decoded`."""
        return self._is_read

    def decode_ahead(self, max_packets: int) -> VideoFrame | None:
        """Return the first frame that decodes, or None; it comes again from `decoded`.

        Args:
            max_packets: How many packets to try.
        """
        packets: Iterator[Packet[VideoStream]] = iter(self._kept.copy())
        num_kept = len(self._kept)
        if not self._kept:
            packets = read_packets(self.container, self.stream)
        for number, packet in zip(range(max_packets), packets, strict=False):
            if number < num_kept:
                self._kept.popleft()
            self._look_at(packet)
            frames = self._decode(packet)
            self._decoded.append((packet, frames))
            if isinstance(frames, list) and frames:
                return frames[0]
        return None

    @property
    def has_errors(self) -> bool:
        """Return whether a packet that was decoded ahead is broken."""
        return any(not isinstance(frames, list) for _, frames in self._decoded)

    def decoded(self) -> Iterator[Decoded]:
        """Yield each packet with its frames, from where the pass stands.

        Raises:
            av.FFmpegError: The container cannot be read further.
        """
        while self._decoded:
            yield self._decoded.popleft()
        while self._kept:
            packet = self._kept.popleft()
            yield packet, self._decode(packet)
        if self._end is not None:
            raise self._end
        if not self._is_read:
            for packet in read_packets(self.container, self.stream):
                yield packet, self._decode(packet)

    def seek(self, ticks: int) -> None:
        """Go to the last keyframe at or before a stamp, as well as the container can.

        Raises:
            av.FFmpegError: It cannot.
        """
        self._decoded.clear()
        self._kept.clear()
        self._is_read, self._end = False, None
        self.container.seek(ticks, stream=self.stream)

    def close(self) -> None:
        """Let go of the file."""
        self._decoded.clear()
        self._kept.clear()
        self.container.close()

    def _decode(self, packet: "Packet[VideoStream]") -> "list[VideoFrame] | av.FFmpegError":
        try:
            return self.stream.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            return _bare(error)

    def _look_at(self, packet: "Packet[VideoStream]") -> None:
        self.is_encrypted = self.is_encrypted or packet.has_sidedata("encryption_info")


def _bare(error: av.FFmpegError) -> av.FFmpegError:
    """Return an error that keeps nothing alive: with its traceback it would hold its holder.

    A decoder with threads that waits for the garbage collector hangs a forked process, which
    inherits the decoder without its threads and collects it.
    """
    return error.with_traceback(None)
