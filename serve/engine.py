"""One model behind a queue: questions go in, streamed answers come out.

A single worker thread loads the model and then answers jobs, fairly among askers; questions that
wait together and are to be answered greedily go through the model together, each with its own
listener, so answers cannot mix. A bounded cache holds the clips of the last questions. Nothing here
knows about web pages or sessions.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from videollm.errors import RequestError, VideoLLMError
from videollm.sampling import load_clip
from videollm.serve.answering import Answerer
from videollm.serve.frames import FrameStrip, LoadClip, see_frames
from videollm.serve.jobs import Event, Job
from videollm.serve.questions import Asked, Chat, Media, Question
from videollm.serve.tally import Tally
from videollm.serve.waiting import FairQueue, StoppingError
from videollm.video_cache import ClipCache

if TYPE_CHECKING:
    from videollm.api import VideoLLM

__all__ = ["Engine"]

logger = logging.getLogger(__name__)


class Engine:
    """Own the model, its loading and the queue in front of it.

    Args:
        model_name: How the model is called in messages.
        load: Returns the model; called once, on the worker thread.
        adapter: How an adapter that is not its own is called.
        max_waiting: Questions that may wait at once, at least 1; one more is refused.
        max_batch: Questions that are answered together at most, at least 1.
        longest_seconds: From a question to the end of its answer, above 0.
        decode: Reads the videos; what strangers upload belongs into a `DecodeWorker`.
    """

    def __init__(
        self,
        model_name: str,
        load: Callable[[], "VideoLLM"],
        *,
        adapter: str | None = None,
        max_waiting: int = 8,
        max_batch: int = 4,
        longest_seconds: float = 600.0,
        decode: LoadClip = load_clip,
    ) -> None:
        self.model_name = model_name
        self.adapter = adapter
        self.max_waiting = max_waiting
        self.load_error: VideoLLMError | None = None
        self.settled = threading.Event()
        self.tally = Tally()
        self._load = load
        self._max_batch = max_batch
        self._longest_seconds = longest_seconds
        self._model: VideoLLM | None = None
        self._queue = FairQueue()
        self._running: list[Job] = []
        self._changed = threading.Condition()
        self._decoding = threading.Lock()
        self._clips = ClipCache(load=decode)
        self._closing = False
        self._worker = threading.Thread(target=self._work, name="videollm-engine", daemon=True)

    @property
    def status(self) -> str:
        """Return `ok`, `loading` or `failed`."""
        if self._model is not None:
            return "ok"
        return "loading" if self.load_error is None else "failed"

    @property
    def device(self) -> str:
        """Return where the model runs, or nothing before it is loaded."""
        return "" if self._model is None else str(self._model.device)

    @property
    def model(self) -> "VideoLLM":
        """Return the model.

        Raises:
            VideoLLMError: It is not loaded yet, or cannot be.
        """
        if self._model is not None:
            return self._model
        raise self.load_error or RequestError("the model is still loading: try again in a moment")

    @property
    def num_waiting(self) -> int:
        """Return how many questions wait."""
        with self._changed:
            return len(self._queue)

    @property
    def num_running(self) -> int:
        """Return how many questions are being answered."""
        return len(self._running)

    def start(self) -> None:
        """Begin to load the model in the background; questions may be asked at once."""
        self._worker.start()

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Stop every job and wait for the worker to end.

        Args:
            timeout_seconds: The longest wait; a load in progress is left behind after it.
        """
        with self._changed:
            self._closing = True
            jobs = [*self._queue.jobs(), *self._running]
            self._changed.notify_all()
        for job in jobs:
            job.stop()
        if self._worker.is_alive():
            self._worker.join(timeout_seconds)

    def look(self, media: Media) -> FrameStrip:
        """Return the frames that a question would look at, without asking the model.

        Args:
            media: The file, and which of its frames.

        Raises:
            VideoError: The file cannot be read as video.
        """
        with self._decoding:
            return see_frames(media, load=self._clips.load_clip)

    def check_room(self) -> None:
        """Refuse a question before any work is done for it; `submit` looks again.

        Raises:
            RequestError: Too many are waiting, or the engine is closing.
        """
        with self._changed:
            self._check_room()

    def submit(
        self, question: Asked, *, asker: str = "", hear: Callable[[Event], None] | None = None
    ) -> Job:
        """Put a question in the queue.

        Args:
            question: What to answer.
            asker: Who asks; the queue is fair among askers.
            hear: Is given the events, on another thread, instead of whoever iterates the job.

        Returns:
            The job; iterate it for the answer.

        Raises:
            RequestError: The question is empty, too many are waiting, or the engine is closing.
        """
        if not question.text.strip():
            raise RequestError("the question is empty: type what you want to know")
        job = Job(
            question,
            self._reason,
            asker=asker,
            longest_seconds=self._longest_seconds,
            hear=hear,
            watch=self.tally.watch(),
        )
        with self._changed:
            self._check_room()
            self._queue.push(job)
            self._changed.notify_all()
        return job

    def _check_room(self) -> None:
        if self._closing:
            raise StoppingError("the server is stopping: ask again once it is back")
        try:
            self._queue.check_room(self.max_waiting, self.tally.mean_seconds)
        except RequestError:
            self.tally.refuse()
            raise

    def _reason(self, job: Job) -> str | None:
        with self._changed:
            if job in self._running:
                return None
            ahead_count = self._queue.num_ahead(job) + len(self._running)
        if self.status == "loading":
            return "The model is still loading: your question is answered as soon as it is ready."
        if ahead_count == 0:
            return None
        return f"{ahead_count} question{'s' if ahead_count > 1 else ''} ahead of yours."

    def _work(self) -> None:
        self._load_model()
        answerer = Answerer(self._model, self.load_error, self._clips, self._decoding)
        while jobs := self._next_jobs():
            start = time.monotonic()
            answerer.answer(jobs)
            self.tally.count_busy(time.monotonic() - start)
            with self._changed:
                self._running = []

    def _load_model(self) -> None:
        start = time.monotonic()
        try:
            self._model = self._load()
            logger.info("%s is ready after %.1f s", self.model_name, time.monotonic() - start)
        except VideoLLMError as error:
            self.load_error = error
        except Exception as error:  # whatever it was, the page must be able to say so
            logger.exception("%s could not be loaded", self.model_name)
            self.load_error = VideoLLMError(
                f"{self.model_name} could not be loaded ({type(error).__name__}): "
                "the server's log has the details"
            )
        finally:
            self.settled.set()

    def _next_jobs(self) -> list[Job]:
        with self._changed:
            while not self._closing:
                self._running = self._queue.take(self._max_batch, _go_together)
                if self._running:
                    return self._running
                self._changed.wait()
        return []


def _go_together(first: Job, other: Job) -> bool:
    """Return whether two questions may be answered at once: drawn words depend on being alone."""
    one, two = first.question, other.question
    if not isinstance(one, Chat | Question) or not isinstance(two, Chat | Question):
        return False
    alike = one.tokens_per_frame == two.tokens_per_frame
    return alike and one.wish.temperature == two.wish.temperature == 0
