"""One model behind a queue: questions go in, streamed answers come out, one at a time.

A single worker thread loads the model and then answers jobs in the order they came, so two
users' answers cannot mix. A bounded cache holds the clips of the last questions. Nothing here knows
about web pages or sessions, and no request is batched with another.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from videollm.clip import Clip
from videollm.errors import RequestError, VideoLLMError
from videollm.sampling import load_clip
from videollm.serve.frames import FrameStrip, LoadClip, explain, see_frames
from videollm.serve.jobs import Done, Failed, Job, Piece, Question, Seen
from videollm.video_cache import ClipCache

if TYPE_CHECKING:
    from videollm.api import Answer, AnswerStream, VideoLLM

__all__ = ["Engine", "answer_job"]

logger = logging.getLogger(__name__)


class Engine:
    """Own the model, its loading and the queue in front of it.

    Args:
        model_name: How the model is called in messages.
        load: Returns the model; called once, on the worker thread.
        max_waiting: Questions that may wait at once, at least 1; one more is refused.
        decode: Reads the videos; what strangers upload belongs into a `DecodeWorker`.
    """

    def __init__(
        self,
        model_name: str,
        load: Callable[[], "VideoLLM"],
        *,
        max_waiting: int = 8,
        decode: LoadClip = load_clip,
    ) -> None:
        self.model_name = model_name
        self.max_waiting = max_waiting
        self.load_error: VideoLLMError | None = None
        self.settled = threading.Event()
        self._load = load
        self._model: VideoLLM | None = None
        self._waiting: list[Job] = []
        self._running: Job | None = None
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
            jobs = [*self._waiting, *([self._running] if self._running else [])]
            self._changed.notify_all()
        for job in jobs:
            job.stop()
        if self._worker.is_alive():
            self._worker.join(timeout_seconds)

    def look(self, video: Path, num_frames: int) -> FrameStrip:
        """Return the frames that a question would look at, without asking the model.

        Args:
            video: The file.
            num_frames: Frames to sample evenly, at least 1.

        Raises:
            VideoError: The file cannot be read as video.
        """
        with self._decoding:
            return see_frames(video, num_frames, load=self._clips.load_clip)[0]

    def submit(self, question: Question) -> Job:
        """Put a question in the queue.

        Args:
            question: What to answer.

        Returns:
            The job; iterate it for the answer.

        Raises:
            RequestError: The question is empty, too many are waiting, or the engine is closing.
        """
        if not question.text.strip():
            raise RequestError("the question is empty: type what you want to know")
        job = Job(question, self._reason)
        with self._changed:
            if self._closing:
                raise RequestError("the server is stopping: ask again once it is back")
            self._waiting = [other for other in self._waiting if not other.ended]
            if len(self._waiting) >= self.max_waiting:
                raise RequestError(
                    f"{len(self._waiting)} questions are already waiting and no more than "
                    f"{self.max_waiting} fit: ask again in a few seconds"
                )
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def _reason(self, job: Job) -> str | None:
        with self._changed:
            if job is self._running:
                return None
            ahead = [other for other in self._waiting if not other.ended]
            ahead_count = ahead.index(job) if job in ahead else 0
            ahead_count += self._running is not None
        if self.status == "loading":
            return "The model is still loading: your question is answered as soon as it is ready."
        if ahead_count == 0:
            return None
        return f"{ahead_count} question{'s' if ahead_count > 1 else ''} ahead of yours."

    def _work(self) -> None:
        self._load_model()
        while (job := self._next_job()) is not None:
            self._answer(job)
            with self._changed:
                self._running = None

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

    def _next_job(self) -> Job | None:
        with self._changed:
            while not self._closing:
                self._waiting = [job for job in self._waiting if not job.ended]
                if self._waiting:
                    self._running = self._waiting.pop(0)
                    return self._running
                self._changed.wait()
        return None

    def _answer(self, job: Job) -> None:
        if self._model is None:
            job.emit(Failed(str(self.load_error)))
            return
        try:
            with self._decoding:
                question = job.question
                strip, clip = see_frames(
                    question.video, question.num_frames, load=self._clips.load_clip
                )
            if job.emit(Seen(strip)):
                answer_job(self._model, job, clip)
        except VideoLLMError as error:
            job.emit(Failed(explain(error)))
        except Exception:  # one broken answer must not take the server down
            logger.exception("an answer broke")
            job.emit(Failed("Something broke inside the server: its log has the details."))


def answer_job(model: "VideoLLM", job: Job, clip: Clip) -> None:
    """Let the model answer one job on the calling thread.

    Args:
        model: Asked for a stream of pieces.
        job: Receives the pieces and the end; looked at after every piece.
        clip: The frames of its video.

    Raises:
        VideoLLMError: The model refuses the question.
    """
    question = job.question
    stream = model.chat(
        clip,
        question.text,
        history=[dict(turn) for turn in question.history],
        stream=True,
        max_new_tokens=question.max_new_tokens,
        temperature=question.temperature,
        seed=question.seed,
    )
    pieces = cast("AnswerStream[Answer]", stream)
    text = ""
    # closing ends the generation behind the iterator before the next question begins
    with closing(pieces):
        for piece in pieces:
            text += piece
            if not job.emit(Piece(piece)):
                return
    answer = pieces.answer
    assert answer is not None  # an exhausted stream always has one
    job.emit(
        Done(
            frames=len(answer.frames),
            visual_tokens=answer.visual_tokens,
            answer_tokens=len(
                model.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
            ),
            first_token_seconds=answer.timings["first_token"],
            total_seconds=answer.timings["total"],
        )
    )
