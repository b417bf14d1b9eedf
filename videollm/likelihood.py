"""How likely a model finds given answers: log-probabilities of continuations of a prompt.

Legend: B rows, each a prompt with one continuation, L tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from videollm.errors import RequestError
from videollm.processor import Message
from videollm.prompt_batch import PromptBatch, prepare_prompts

if TYPE_CHECKING:
    from videollm.api import VideoLLM, VideoSource

__all__ = ["Likelihood", "score_continuations"]

_IGNORED = -100


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Say how likely one continuation is.

    Args:
        log_probability: Sum over its tokens, natural logarithm, at most 0.
        num_tokens: How many they are, at least 1.
        is_greedy: Whether each of them is the likeliest where it stands, so that a greedy answer
            would begin with them.
    """

    log_probability: float
    num_tokens: int
    is_greedy: bool

    @property
    def mean(self) -> float:
        """Return the log-probability per token, which does not punish length."""
        return self.log_probability / self.num_tokens


@torch.inference_mode()
def score_continuations(
    model: "VideoLLM",
    videos: Sequence["VideoSource | None"],
    questions: Sequence[str],
    continuations: Sequence[Sequence[str]],
    *,
    histories: Sequence[Sequence[Message]] | None = None,
    batch_size: int = 8,
    num_frames: int | None = None,
) -> list[list[Likelihood]]:
    """Return how likely each continuation is as the beginning of the answer to its question.

    Args:
        model: Who is asked.
        videos: A video for each question, or None; the same object is encoded once.
        questions: As many as videos.
        continuations: For each question, texts with at least one token.
        histories: The turns before each question, as in `VideoLLM.ask`; None for none.
        batch_size: Rows computed together, each a prompt with one continuation.
        num_frames: As in `VideoLLM.ask`.

    Raises:
        VideoError: A video cannot be read.
        RequestError: The lists differ in length, or a question or a continuation is empty.
    """
    if not len(videos) == len(questions) == len(continuations):
        raise RequestError(
            f"{len(videos)} videos, {len(questions)} questions and {len(continuations)} lists of "
            "continuations: give as many of each"
        )
    batch = prepare_prompts(model, videos, questions, histories=histories, num_frames=num_frames)
    rows = [(row, text) for row, texts in enumerate(continuations) for text in texts]
    scores: list[list[Likelihood]] = [[] for _ in questions]
    for first in range(0, len(rows), batch_size):
        part = rows[first : first + batch_size]
        for (row, _), likelihood in zip(part, _score_rows(model, batch, part), strict=True):
            scores[row].append(likelihood)
    return scores


def _score_rows(
    model: "VideoLLM", batch: PromptBatch, rows: Sequence[tuple[int, str]]
) -> list[Likelihood]:
    """Return the likelihoods of some rows, padded on the right, where nothing looks back at it."""
    sequences, labels = [], []
    for row, text in rows:
        prompt = _tokens(model, batch.texts[row])
        answer = _tokens(model, text)
        if not len(answer):
            raise RequestError(f"the continuation {text!r} has no token; give some text")
        sequences.append(torch.cat([prompt, answer]))
        labels.append(torch.cat([torch.full_like(prompt, _IGNORED), answer]))
    pad = torch.nn.utils.rnn.pad_sequence
    padding = model.processor.tokenizer.pad_token_id or 0
    labels_BL = pad(labels, batch_first=True, padding_value=_IGNORED)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask_BL = torch.arange(labels_BL.shape[1])[None] < lengths[:, None]
    features = [
        feature
        for row, _ in rows
        for feature, owner in zip(batch.features, batch.owners, strict=True)
        if owner == row
    ]
    logits = model.model(
        input_ids=pad(sequences, batch_first=True, padding_value=padding).to(model.device),
        attention_mask=mask_BL.long().to(model.device),
        labels=labels_BL.to(model.device),
        video_features=features or None,
    ).logits
    counts = [int((row != _IGNORED).sum()) for row in labels]
    answers = torch.cat([row[row != _IGNORED] for row in labels]).to(model.device)
    return _likelihoods(logits, answers, counts)


def _tokens(model: "VideoLLM", text: str) -> Tensor:
    encoded = model.processor.tokenizer(text, add_special_tokens=False, return_tensors="pt")
    ids = encoded["input_ids"]
    assert isinstance(ids, Tensor)
    return ids[0].long()


def _likelihoods(logits: Tensor, answers: Tensor, counts: Sequence[int]) -> list[Likelihood]:
    """Return the likelihood of each row from the logits of its answer's tokens, (tokens, words)."""
    logs = torch.log_softmax(logits.float(), dim=-1)
    chosen = logs.gather(1, answers[:, None])[:, 0]
    greedy = logs.argmax(dim=-1) == answers
    return [
        Likelihood(math.fsum(log.tolist()), len(log), bool(best.all()))
        for log, best in zip(chosen.split(list(counts)), greedy.split(list(counts)), strict=True)
    ]
