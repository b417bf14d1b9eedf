"""Likelihoods of continuations: sums of what the model says, whoever else is in the batch."""

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_videollm
from videollm import VideoLLM
from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.likelihood import score_continuations


@pytest.fixture(scope="module")
def model(tiny_llm: Path) -> VideoLLM:
    return VideoLLM(*tiny_videollm(tiny_llm), name="tiny")


def clip(seed: int, frames: int = 5) -> Clip:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (frames, 3, 16, 16), generator=generator, dtype=torch.uint8)
    return Clip(frames=pixels, pts_seconds=torch.arange(frames, dtype=torch.float64) / 8)


def test_it_is_the_sum_of_log_softmax_over_the_continuation(model: VideoLLM) -> None:
    one = clip(0)
    ((scored,),) = score_continuations(model, [one], ["What?"], [["red"]])
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What?"}]}]
    prompt = model.processor.render(messages, [one], add_generation_prompt=True)
    inputs = model.processor(prompt + "red", [one])
    with torch.no_grad():
        logits = model.model(**inputs).logits[0]
    logs = torch.log_softmax(logits, dim=-1)
    ids = inputs["input_ids"][0]
    count = len(model.processor.tokenizer("red", add_special_tokens=False)["input_ids"])
    expected = sum(float(logs[len(ids) - count + i - 1, ids[len(ids) - count + i]])
                   for i in range(count))  # fmt: skip
    assert scored.num_tokens == count
    assert scored.log_probability == pytest.approx(expected, abs=1e-4)
    assert scored.mean == pytest.approx(expected / count, abs=1e-4)


def test_company_does_not_matter(model: VideoLLM) -> None:
    clips = [clip(0), None, clip(1, frames=2)]
    questions = ["What?", "Which of the many colours is it?", "Why?"]
    options = [["red", "a much longer answer"], ["x"], ["blue", "b", "green"]]
    together = score_continuations(model, clips, questions, options, batch_size=4)
    apart = [
        score_continuations(model, [one], [question], [texts], batch_size=1)[0]
        for one, question, texts in zip(clips, questions, options, strict=True)
    ]
    assert [len(scores) for scores in together] == [2, 1, 3]
    for ours, theirs in zip(together, apart, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)
            assert (one.num_tokens, one.is_greedy) == (other.num_tokens, other.is_greedy)


def test_the_greedy_answer_is_greedy_and_another_is_not(model: VideoLLM) -> None:
    one = clip(3)
    answer = model.ask(one, "What?", max_new_tokens=1).answer
    if not answer:
        pytest.skip("the random model says nothing that can be written")
    ((said, other),) = score_continuations(model, [one], ["What?"], [[answer, answer + "!?"]])
    assert said.is_greedy
    assert said.log_probability >= other.log_probability


def test_what_cannot_be_scored_is_refused(model: VideoLLM) -> None:
    with pytest.raises(RequestError, match="the continuation '' has no token"):
        score_continuations(model, [None], ["What?"], [[""]])
    with pytest.raises(RequestError, match="1 videos, 2 questions and 1 lists"):
        score_continuations(model, [None], ["What?", "Why?"], [["a"]])
    with pytest.raises(RequestError, match="the question is empty"):
        score_continuations(model, [None], [" "], [["a"]])
