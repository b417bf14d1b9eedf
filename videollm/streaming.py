"""StreamSession: watch a video of any length in constant memory, and ask at any moment.

`push` encodes frames and puts them into a visual memory; `ask` shows the language model what is
held. Frames may go on arriving in one thread while another reads an answer.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from videollm.answer import AnswerStream
from videollm.errors import RequestError
from videollm.generate import Generation, stream_prepared
from videollm.kv_cache import check_cache
from videollm.memory import count_tokens
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import Message, VideoLLMProcessor
from videollm.prompt_cache import Prompt, PromptCache
from videollm.prompting import check_question
from videollm.runtime import rss_bytes
from videollm.standing import StandingQuestions
from videollm.stream_file import load_session, save_session
from videollm.stream_prompt import build_prompt, check_length, embed_question, fit_talk, turn_of
from videollm.stream_record import StreamAnswer, StreamOptions, StreamRecord, StreamStats
from videollm.visual_stream import VisualStream

__all__ = ["StreamSession"]


class StreamSession:
    """Watch one video as it comes.

    Args:
        model: The model; its encoder must be frame-causal.
        processor: Its processor.
        options: How to watch; None is `StreamOptions()`.

    Raises:
        RequestError: The encoder cannot stream, the budget does not hold the recent frames, or the
            cache cannot be had here.
    """

    def __init__(
        self,
        model: VideoLLMForConditionalGeneration,
        processor: VideoLLMProcessor,
        options: StreamOptions | None = None,
    ) -> None:
        self.model, self.processor = model, processor
        self.options = options or StreamOptions()
        check_cache(self.options.kv_cache, model.config.text, model.device)
        self._visual = VisualStream(
            model, processor, self.options.memory, chunk_frames=self.options.chunk_frames
        )
        self._cache = PromptCache(
            model, kind=self.options.kv_cache, chunk_tokens=self.options.prefill_tokens
        )
        self._encode_seconds = 0.0
        self._talk: list[Message] = []
        self._standing = StandingQuestions()
        self._push_lock, self._llm_lock = threading.Lock(), threading.Lock()
        self._is_answering = False

    def push(
        self,
        frames: Tensor,
        pts_seconds: Sequence[float] | Tensor,
        *,
        others: Sequence["StreamSession"] = (),
    ) -> None:
        """Look at the next frames; returns when they are in memory, so that it never falls behind.

        Standing questions that are due are asked before it returns.

        Args:
            frames: (frames, 3, H, W), uint8, RGB, any number and size from 1 on.
            pts_seconds: Their times, finite, never falling, not before the last push.
            others: Sessions of the same model that watch the same from the beginning: they are
                given what is encoded here, and nothing else is pushed to them.

        Raises:
            RequestError: The frames, the times or the others make no sense, or another push is
                running; nothing has changed then.
        """
        if not self._push_lock.acquire(blocking=False):
            raise RequestError(
                "another push is running: one thread brings the frames, and waits for each push"
            )
        try:
            start = time.perf_counter()
            clip = self._visual.check(frames, pts_seconds)
            self._visual.take(clip, [other._visual for other in others])
            self._encode_seconds += time.perf_counter() - start
            self._standing.check(self._visual.progress.last_seconds, self._answer_if_free)
        finally:
            self._push_lock.release()

    def ask(
        self,
        question: str,
        *,
        history: Sequence[Message] | None = None,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> AnswerStream[StreamAnswer]:
        """Return the answer to a question about what was seen until now, piece by piece.

        Args:
            question: The question.
            history: Earlier turns; None: those of this session that `talk_tokens` allows.
            max_new_tokens: Longest answer.
            temperature: 0 is greedy.
            seed: Of the words drawn above 0.

        Raises:
            RequestError: The question is empty, nothing was pushed yet, another answer is still
                being read, or the prompt is longer than the language model reads.
        """
        generation = Generation(max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
        self._require_free()
        return self._ask(question, history, generation, self._user_pieces)

    def answer(self, question: str, **options: Any) -> StreamAnswer:
        """Return the whole answer; see `ask`."""
        return self.ask(question, **options).finish()

    def prepare(self) -> None:
        """Let the language model read what is in memory, so that the next answer comes at once.

        Raises:
            RequestError: Nothing was pushed yet, or an answer is still being read.
        """
        self._require_free()
        prompt, _ = self._look("?", [])
        with self._llm_lock:
            self._cache.read(prompt)

    def stand(
        self,
        question: str,
        on_change: Callable[[StreamAnswer], None],
        *,
        every_seconds: float = 5.0,
    ) -> None:
        """Ask a question every few seconds of the stream, within `push`, while none is answered.

        Args:
            question: What to ask.
            on_change: Is given every answer that differs from the one before, the first included.
            every_seconds: Seconds of the stream from one time to the next.

        Raises:
            RequestError: The question is empty or stands already, or the time is out of range.
        """
        self._standing.add(question, every_seconds, on_change)

    def take_back(self, question: str) -> None:
        """Ask a standing question no more.

        Raises:
            RequestError: It does not stand.
        """
        self._standing.remove(question)

    def stats(self) -> StreamStats:
        """Return the state of the stream in numbers."""
        with self._visual.lock:
            memory, progress = self._visual.memory, self._visual.progress
            return StreamStats(
                frames_seen=progress.frames_seen,
                seconds_seen=progress.last_seconds,
                tokens_held=memory.num_tokens,
                entries_held=len(memory.entries),
                state_bytes=progress.state_bytes,
                memory_bytes=memory.nbytes,
                bank_bytes=0 if memory.bank is None else memory.bank.nbytes,
                cache_bytes=self._cache.nbytes,
                encode_seconds=self._encode_seconds,
                rss_bytes=rss_bytes(),
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that is needed to go on to one safetensors file, replaced at once.

        The language model's cache and the standing questions are left out.

        Raises:
            DataError: The file cannot be written.
        """
        with self._visual.lock:
            save_session(path, self._visual, self.options, self._talk, self.model)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        model: VideoLLMForConditionalGeneration,
        processor: VideoLLMProcessor,
    ) -> "StreamSession":
        """Return the session of a file that `save` wrote.

        Args:
            path: The file.
            model: The model that it was written with.
            processor: Its processor.

        Raises:
            DataError: It is no session file.
            ModelError: It was written with another model.
        """
        held = load_session(path, model)
        session = cls(model, processor, held.options)
        session._visual.progress = held.progress
        session._visual.memory.restore(
            held.entries, held.num_frames, bank=held.bank, bank_stride=held.bank_stride
        )
        session._talk = list(held.talk)
        return session

    def _ask(
        self,
        question: str,
        history: Sequence[Message] | None,
        generation: Generation,
        read: Callable[[Iterator[str]], Iterator[str]],
    ) -> AnswerStream[StreamAnswer]:
        start = time.perf_counter()
        question = check_question(question)
        talk = history
        if talk is None:
            talk = fit_talk(self.processor, self._talk, self.options.talk_tokens)
        prompt, fields = self._look(question, talk)
        check_length(self.model, prompt, generation.max_new_tokens)
        marks: dict[str, float] = {}

        def prepare(is_stopped: Callable[[], bool]) -> dict[str, Any]:
            marks["reused_tokens"] = self._cache.num_reusable(prompt)
            return self._cache.read(prompt, is_stopped=is_stopped)

        def keep(text: str) -> None:
            if history is None and self.options.talk_tokens:
                self._talk += turn_of(question, text)
                self._talk = fit_talk(self.processor, self._talk, self.options.talk_tokens)

        pieces = stream_prepared(self.model, self.processor, prepare, generation, marks)
        record = StreamRecord(fields=fields, start=start, marks=marks, keep=keep)
        return AnswerStream(read(pieces), record)

    def _look(self, question: str, history: Sequence[Message]) -> tuple[Prompt, dict[str, Any]]:
        """Return the prompt, and what the answer will say of this moment."""
        look = self._visual.look(lambda: embed_question(self.model, self.processor, question))
        if not look.entries:
            raise RequestError("nothing was pushed yet: push frames, then ask")
        progress = look.progress
        num_whole = self._visual.memory.num_frames
        if progress.pending_seconds:
            num_whole = look.entries[-1].first_frame
        prompt = build_prompt(
            self.model, self.processor, look.entries, question, history, num_whole=num_whole
        )
        return prompt, {
            "at_seconds": progress.last_seconds,
            "question": question,
            "frames_seen": progress.frames_seen,
            "tokens_held": count_tokens(look.entries),
            "state_bytes": progress.state_bytes,
            "prompt_tokens": len(prompt.keys),
        }

    def _user_pieces(self, pieces: Iterator[str]) -> Iterator[str]:
        """Yield an answer's pieces while no other may use the language model."""
        self._require_free()
        self._is_answering = True
        try:
            with self._llm_lock:
                yield from pieces
        finally:
            self._is_answering = False

    def _answer_if_free(self, question: str) -> StreamAnswer | None:
        """Answer a standing question for itself; None while a user reads an answer."""
        if self._is_answering or not self._llm_lock.acquire(blocking=False):
            return None
        try:
            return self._ask(question, [], Generation(), lambda pieces: pieces).finish()
        finally:
            self._llm_lock.release()

    def _require_free(self) -> None:
        if self._is_answering:
            raise RequestError("another answer is still being read: read it to its end or close it")
