"""Bring the frames of a live source or a file to a session, in a thread of its own."""

import threading

from videollm.live import LiveOptions, LiveStream
from videollm.streaming import StreamSession

__all__ = ["Watcher"]


class Watcher(threading.Thread):
    """Push what a source shows until it ends, fails or is stopped.

    The source waits, or drops its oldest frames, as its `LiveOptions` say, while the session is
    busy: what waits is bounded.

    Args:
        session: Where the frames go; nobody else may push meanwhile.
        source: As `LiveStream.open` takes it.
        fps: The most frames in a second of media time, above 0.
        options: How to watch; None is `LiveOptions()`.

    Raises:
        VideoError: The source cannot be opened.
        RequestError: `fps` is out of range.
    """

    def __init__(
        self,
        session: StreamSession,
        source: object,
        fps: float = 2.0,
        *,
        options: LiveOptions | None = None,
    ) -> None:
        super().__init__(name="videollm-watch", daemon=True)
        self.error: BaseException | None = None
        self._session = session
        self._stream = LiveStream.open(source, fps, options=options)
        self.start()

    def run(self) -> None:
        """Push frame after frame."""
        try:
            for clip in self._stream.clips(self._session.processor.tubelet_size):
                self._session.push(clip.frames, clip.pts_seconds)
        except BaseException as error:  # handed to whoever waits
            self.error = error
        finally:
            self._stream.close()

    def stop(self) -> None:
        """Watch no more; what was seen stays in the session."""
        self._stream.close()
        self.join()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Return whether the source came to its end within a time; None waits for ever.

        Raises:
            VideoError: The source failed.
            RequestError: Another thread pushed.
        """
        self.join(timeout_seconds)
        if self.error is not None:
            raise self.error
        return not self.is_alive()
