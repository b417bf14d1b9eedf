"""A live source as one of the reader's tracks: it has facts and a stream, and no past."""

from collections.abc import Iterator
from typing import NoReturn

from videollm.clip import Clip
from videollm.errors import LiveSourceError
from videollm.live import LiveOptions, LiveStream
from videollm.video_track import VideoMetadata

__all__ = ["LiveTrack"]


class LiveTrack:
    """One live source, looked at when it is opened and then let go.

    Args:
        source: What `LiveStream.open` takes.
        video_stream: Which of its video streams, from 0; None chooses the best.
        timeout_seconds: How long opening may take, above 0.

    Raises:
        VideoError: It is absent, busy, out of reach, silent or no video.
    """

    def __init__(self, source: object, video_stream: int | None, timeout_seconds: float) -> None:
        self._source = source
        self._video_stream = video_stream
        self._options = LiveOptions(timeout_seconds=timeout_seconds)
        with self._open(fps=1.0) as stream:
            self._metadata = stream.metadata

    @property
    def metadata(self) -> VideoMetadata:
        """Return what is known of it."""
        return self._metadata

    def start(self) -> NoReturn:
        """Refuse: there is nothing to go back to.

        Raises:
            LiveSourceError: Always.
        """
        remedy = "watch it with stream(fps), or record it and read the recording"
        raise LiveSourceError(self._metadata.source, "is live and has no past to read", remedy)

    def close(self) -> None:
        """Do nothing: each stream has a connection of its own."""

    def stream(self, fps: float, chunk_frames: int) -> Iterator[Clip]:
        """Yield what is shown from now on, as clips."""
        with self._open(fps) as stream:
            yield from stream.clips(chunk_frames)

    def _open(self, fps: float) -> LiveStream:
        return LiveStream.open(
            self._source, fps, video_stream=self._video_stream, options=self._options
        )
