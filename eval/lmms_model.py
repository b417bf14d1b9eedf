"""The model as lmms-eval sees it, in its simple and in its chat form.

Source:
    EvolvingLMMs-Lab/lmms-eval 0.7, lmms_eval/api/model.py and lmms_eval/api/task.py: a simple
    request is (context, generation arguments, doc_to_visual, doc id, task, split); a chat request
    (context, doc_to_messages, generation arguments, doc id, task, split).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages
from PIL import Image

from videollm.api import VideoLLM
from videollm.errors import RequestError
from videollm.likelihood import score_continuations

__all__ = ["VideoLLMChatForLmms", "VideoLLMForLmms"]

_DEFAULT_NEW_TOKENS = 64


@dataclass(frozen=True, slots=True, eq=False)
class _Ask:
    """Hold one request: what is shown and asked, and how the answer is generated."""

    video: Any
    history: list[dict[str, Any]]
    question: str
    max_new_tokens: int
    temperature: float
    until: tuple[str, ...]


class VideoLLMForLmms(lmms):
    """Answer the simple requests of lmms-eval: a text beside its videos or pictures.

    Args:
        pretrained: Name or folder of the model.
        adapter: Folder of a LoRA adapter.
        device: As `VideoLLM.from_pretrained` takes it.
        dtype: Likewise.
        batch_size: Requests answered at once.
        num_frames: Frames of each video; the model's own number where it is left out.
        max_batch_size: Accepted from the framework, which always gives it; not used.

    Raises:
        ModelError: The model cannot be had.
        TypeError: An argument is unknown.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str = "demo",
        *,
        adapter: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int | str = 1,
        num_frames: int | str | None = None,
        max_batch_size: int | str | None = None,
    ) -> None:
        super().__init__()
        del max_batch_size
        self.llm = VideoLLM.from_pretrained(
            pretrained, adapter=adapter, device=str(device), dtype=str(dtype)
        )
        self.batch_size = int(batch_size)
        self.num_frames = None if num_frames is None else int(num_frames)

    @property
    def device(self) -> Any:  # noqa: ANN401 (the framework's annotation)
        """Return where the model runs."""
        return self.llm.device

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return one answer per request, in their order.

        Args:
            requests: Instances of lmms-eval.
        """
        asks = [self._read_generation(request.args) for request in requests]
        answers: list[str] = []
        for settings, members in groupby(asks, key=_settings):
            answers += self._answer(list(members), *settings)
        for request, answer in zip(requests, answers, strict=True):
            keys = (request.args[0], self._generation_kwargs(request.args))
            self.cache_hook.add_partial("generate_until", keys, answer)
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Return the log-probability of each request's continuation, and whether it is greedy.

        It is a log-probability, as the interface says: some models of lmms-eval return a loss
        instead, and tasks made for those (`*_mcppl`) take the lowest.

        Args:
            requests: Instances with (context, doc_to_target, doc_to_visual, doc id, task, split).
        """
        videos, questions, continuations = [], [], []
        for request in requests:
            context, target, to_visual, doc_id, task, split = request.args
            doc = self.task_dict[task][split][doc_id]
            videos.append(self._open(to_visual(doc)))
            questions.append(context)
            continuations.append([target if isinstance(target, str) else target(doc)])
        scored = score_continuations(
            self.llm,
            videos,
            questions,
            continuations,
            batch_size=self.batch_size,
            num_frames=self.num_frames,
        )
        return [(one.log_probability, one.is_greedy) for (one,) in scored]

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse: what is asked depends on earlier answers, which tasks of videos do not do."""
        raise NotImplementedError("videollm does not answer multi-round requests of lmms-eval")

    def _generation_kwargs(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        kwargs = arguments[1 if self.is_simple else 2]
        assert isinstance(kwargs, dict)
        return kwargs

    def _read_generation(self, arguments: tuple[Any, ...]) -> _Ask:
        context, kwargs, to_visual, doc_id, task, split = arguments
        visuals = to_visual(self.task_dict[task][split][doc_id])
        return self._ask(self._open(visuals), [], context, kwargs)

    def _ask(
        self, video: object, history: list[dict[str, Any]], question: str, kwargs: dict[str, Any]
    ) -> _Ask:
        until = kwargs.get("until") or ()
        return _Ask(
            video=video,
            history=history,
            question=question,
            max_new_tokens=int(kwargs.get("max_new_tokens") or _DEFAULT_NEW_TOKENS),
            temperature=float(kwargs.get("temperature") or 0.0),
            until=(until,) if isinstance(until, str) else tuple(until),
        )

    def _answer(self, asks: Sequence[_Ask], max_new_tokens: int, temperature: float) -> list[str]:
        """Return the answers of requests with equal settings, in batches where that can be done."""
        if temperature > 0 or any(ask.history for ask in asks):
            texts = [
                self.llm.ask(
                    ask.video,
                    ask.question,
                    history=ask.history,
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    num_frames=self.num_frames,
                ).answer
                for ask in asks
            ]
        else:
            texts = self.llm.batch(
                [ask.video for ask in asks],
                [ask.question for ask in asks],
                max_new_tokens=max_new_tokens,
                batch_size=self.batch_size,
                num_frames=self.num_frames,
            )
        return [_cut(text, ask.until) for text, ask in zip(texts, asks, strict=True)]

    def _open(self, visuals: Sequence[Any] | None) -> Any:  # noqa: ANN401 (a VideoSource)
        """Return the one video among what a task shows; pictures make one together."""
        shown = list(visuals or ())
        if not shown:
            return None
        if all(isinstance(one, Image.Image) for one in shown):
            size = shown[0].size
            return np.stack([np.asarray(one.convert("RGB").resize(size)) for one in shown])
        if len(shown) > 1:
            raise RequestError(f"a request shows {len(shown)} videos; one a question is allowed")
        (one,) = shown
        if not isinstance(one, dict):
            return one
        return self.llm.load(
            one.get("video") or one["url"],
            num_frames=self.num_frames,
            start_seconds=one.get("video_start", one.get("start_time")),
            end_seconds=one.get("video_end", one.get("end_time")),
        )


class VideoLLMChatForLmms(VideoLLMForLmms):
    """Answer the chat requests of lmms-eval: messages with videos in them."""

    is_simple = False

    def _read_generation(self, arguments: tuple[Any, ...]) -> _Ask:
        _, to_messages, kwargs, doc_id, task, split = arguments
        messages = ChatMessages(messages=to_messages(self.task_dict[task][split][doc_id]))
        turns, visuals = _read_messages(messages.to_hf_messages())
        return self._ask(self._open(visuals), turns[:-1], turns[-1]["content"], kwargs)


def _read_messages(
    messages: Sequence[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the turns as text, what the system says before the first, and what is shown."""
    turns: list[dict[str, Any]] = []
    visuals: list[Any] = []
    instruction = ""
    for message in messages:
        visuals += _shown(message["content"])
        text = "\n".join(part["text"] for part in message["content"] if part["type"] == "text")
        if message["role"] == "system":
            instruction += text + "\n"
        else:
            turns.append({"role": message["role"], "content": instruction + text})
            instruction = ""
    if not turns:
        raise RequestError("a request holds no user message; give one")
    return turns, visuals


def _shown(parts: Sequence[dict[str, Any]]) -> Iterator[Any]:
    for part in parts:
        if part["type"] == "image":
            yield part["image"]
        elif part["type"] == "video":
            has_part = "video_start" in part or "video_end" in part
            yield part if has_part else part["video"]


def _settings(ask: _Ask) -> tuple[int, float]:
    return ask.max_new_tokens, ask.temperature


def _cut(text: str, until: Sequence[str]) -> str:
    """Return a text up to the first of the words that end it."""
    ends = [text.find(stop) for stop in until if stop and stop in text]
    return text[: min(ends)].strip() if ends else text
