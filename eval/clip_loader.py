"""Clips decoded ahead: while the model answers one batch, the next one's are read."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from videollm.clip import Clip
from videollm.errors import VideoLLMError

__all__ = ["ClipLoader", "Loaded"]


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """Hold a clip, or why there is none.

    Args:
        clip: The clip; None where it could not be had.
        error: The reason in one line; empty where it could.
        seconds: How long it took.
    """

    clip: Clip | None
    error: str
    seconds: float


class ClipLoader:
    """Load clips by name in threads, each once, and hold those that are still wanted.

    Args:
        load: Returns a clip; may be called from several threads at once.
        num_workers: Clips loaded at once, at least 1.
    """

    def __init__(self, load: Callable[[str], Clip], *, num_workers: int) -> None:
        self._load = load
        self._pool = ThreadPoolExecutor(num_workers, thread_name_prefix="videollm-decode")
        self._futures: dict[str, Future[Loaded]] = {}

    def __enter__(self) -> "ClipLoader":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def want(self, videos: Iterable[str]) -> None:
        """Begin to load what is not there yet."""
        for video in dict.fromkeys(videos):
            if video not in self._futures:
                self._futures[video] = self._pool.submit(self._try, video)

    def get(self, video: str) -> Loaded:
        """Return a clip that was wanted, waiting for it.

        Raises:
            Exception: Whatever loading raised that is not the user's to mend.
        """
        return self._futures[video].result()

    def keep_only(self, videos: Iterable[str]) -> None:
        """Forget every clip but these."""
        kept = set(videos)
        self._futures = {name: one for name, one in self._futures.items() if name in kept}

    def _try(self, video: str) -> Loaded:
        started = time.perf_counter()
        try:
            clip, error = self._load(video), ""
        except VideoLLMError as caught:
            clip, error = None, " ".join(str(caught).split())
        return Loaded(clip, error, time.perf_counter() - started)
