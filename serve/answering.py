"""The engine's way from jobs to answers: decode, ask the model, pass on; every job gets an end."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import torch

from videollm.clip import Clip
from videollm.errors import VideoError, VideoLLMError
from videollm.serve.frames import explain, make_strip
from videollm.serve.jobs import Done, Failed, FailKind, Job, Seen
from videollm.serve.questions import Chat, LiveQuestion, Question
from videollm.video_cache import ClipCache

if TYPE_CHECKING:
    from videollm.api import VideoLLM
    from videollm.conversation import Conversation
    from videollm.processor import VideoLLMProcessor

__all__ = ["Answerer", "warm_up"]

logger = logging.getLogger(__name__)

BROKE = "Something broke inside the server: its log has the details."


class Answerer:
    """Answer jobs on the calling thread.

    Args:
        model: The model; None where it could not be loaded.
        load_error: Why not.
        clips: Decodes the files.
        decoding: Is held meanwhile.
    """

    def __init__(
        self,
        model: "VideoLLM | None",
        load_error: VideoLLMError | None,
        clips: ClipCache,
        decoding: threading.Lock,
    ) -> None:
        self._model = model
        self._load_error = load_error
        self._clips = clips
        self._decoding = decoding

    def answer(self, jobs: Sequence[Job]) -> None:
        """Bring every job to its end.

        Args:
            jobs: Those that go through the model together.
        """
        if self._model is None:
            for job in jobs:
                job.emit(Failed(str(self._load_error), "model"))
            return
        ready: list[tuple[Job, Conversation]] = []
        for job in jobs:
            with _ending([job]):
                conversation = self._prepare(self._model, job)
                if conversation is not None:
                    ready.append((job, conversation))
        with _ending([job for job, _ in ready]):
            self._converse(self._model, ready)

    def _prepare(self, model: "VideoLLM", job: Job) -> "Conversation | None":
        """Return the conversation that a job waits for; None where it waits no more."""
        question = job.question
        if job.is_over():
            return None
        if isinstance(question, LiveQuestion):
            _answer_live(job, question)
            return None
        assert isinstance(question, Chat | Question), "there are no other questions"
        return self._conversation(model, job, question)

    def _conversation(
        self, model: "VideoLLM", job: Job, question: Chat | Question
    ) -> "Conversation | None":
        from videollm.conversation import Conversation

        default = model.processor.num_frames
        with self._decoding:
            clips = [
                self._clips.load_clip(media.path, **media.options(default))
                for media in question.media
            ]
        if question.shows_frames and not job.emit(Seen(make_strip(clips[-1]))):
            return None
        return Conversation(
            messages=question.messages,
            clips=clips,
            generation=question.wish.generation,
            tokens_per_frame=question.tokens_per_frame,
        )

    def _converse(self, model: "VideoLLM", ready: Sequence[tuple[Job, "Conversation"]]) -> None:
        try:
            if ready:
                self._converse_together(model, ready)
        except VideoLLMError:
            if len(ready) == 1:
                raise
            # one prompt that is too long must not cost the others their answers
            for one in ready:
                with _ending([one[0]]):
                    self._converse_together(model, [one])

    def _converse_together(
        self, model: "VideoLLM", ready: Sequence[tuple[Job, "Conversation"]]
    ) -> None:
        jobs, conversations = zip(*ready, strict=True)
        replies = model.converse(conversations, jobs)
        for job, reply in zip(jobs, replies, strict=True):
            job.flush()
            job.emit(
                Done(
                    frames=len(reply.answer.frames),
                    visual_tokens=reply.answer.visual_tokens,
                    prompt_tokens=reply.prompt_tokens,
                    answer_tokens=reply.answer_tokens,
                    first_token_seconds=reply.answer.timings["first_token"],
                    total_seconds=reply.answer.timings["total"],
                    is_cut=reply.is_cut and not job.met_stop_word,
                )
            )


def warm_up(model: "VideoLLM") -> None:
    """Let a model answer once, so that nobody waits for what only a first answer costs.

    Args:
        model: The model.
    """
    from videollm.conversation import Conversation
    from videollm.generate import Generation

    vision = model.config.vision
    shape = (vision.tubelet_size, 3, vision.image_size, vision.image_size)
    blank = Clip(
        frames=torch.zeros(shape, dtype=torch.uint8),
        pts_seconds=torch.zeros(shape[0], dtype=torch.float64),
    )
    content = [{"type": "video"}, {"type": "text", "text": "?"}]
    messages = [{"role": "user", "content": content}]
    chat = Conversation(messages=messages, clips=[blank], generation=Generation(max_new_tokens=2))
    model.converse([chat], [_Nobody()])


class _Nobody:
    def add(self, text: str) -> None:
        pass

    def is_over(self) -> bool:
        return False


@contextmanager
def _ending(jobs: Sequence[Job]) -> Iterator[None]:
    """End the jobs whose answer an error prevents: one broken answer does not end the server."""
    try:
        yield
    except VideoLLMError as error:
        blame: FailKind = "video" if isinstance(error, VideoError) else "request"
        for job in jobs:
            job.emit(Failed(explain(error), blame))
    except Exception:
        logger.exception("an answer broke")
        for job in jobs:
            job.emit(Failed(BROKE, "server"))


def _count_tokens(processor: "VideoLLMProcessor", text: str) -> int:
    return len(processor.tokenizer(text, add_special_tokens=False)["input_ids"])


def _answer_live(job: Job, question: LiveQuestion) -> None:
    """Let a stream's session answer."""
    wish = question.wish
    stream = question.session.ask(
        question.text,
        max_new_tokens=wish.max_new_tokens,
        temperature=wish.temperature,
        seed=wish.seed,
    )
    with closing(stream):
        for piece in stream:
            job.add(piece)
            if job.is_over():
                break
    job.flush()
    answer = stream.answer
    assert answer is not None, "a closed stream has its answer"
    job.emit(
        Done(
            frames=answer.frames_seen,
            visual_tokens=answer.tokens_held,
            prompt_tokens=answer.prompt_tokens,
            answer_tokens=_count_tokens(question.session.processor, answer.answer),
            first_token_seconds=answer.timings["first_token"],
            total_seconds=answer.timings["total"],
        )
    )
