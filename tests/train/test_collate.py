"""Packing: every token sees in a packed row exactly what it would see alone."""

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_encoder
from videollm.clip import Clip
from videollm.errors import RecipeError
from videollm.llm import load_tokenizer
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor
from videollm.train.collate import IGNORED, PackingCollator, attention_between, tokenize
from videollm.train.examples import Dialogue, Example, question_and_answer

ENCODER = tiny_encoder(num_layers=2, layer_pattern="MT", tubelet_size=2)
QUESTIONS = (
    question_and_answer("What colour is it?", "red"),
    question_and_answer("How many are there, small ones included?", "12 in all"),
    question_and_answer("Is it?", "no"),
)


@pytest.fixture(scope="module")
def model(tiny_llm: Path) -> VideoLLMForConditionalGeneration:
    torch.manual_seed(0)
    made = VideoLLMForConditionalGeneration.from_parts(ENCODER, str(tiny_llm), tokens_per_frame=1)
    # Weights large enough that a token that sees too much changes visibly.
    for parameter in made.parameters():
        if parameter.ndim == 2:
            parameter.data.mul_(4)
    return made.eval()


@pytest.fixture(scope="module")
def processor(model: VideoLLMForConditionalGeneration, tiny_llm: Path) -> VideoLLMProcessor:
    return VideoLLMProcessor.from_config(model.config, load_tokenizer(str(tiny_llm)))


def draw_clip(seed: int, num_frames: int = 4) -> Clip:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (num_frames, 3, 16, 16), generator=generator).to(torch.uint8)
    return Clip(frames, torch.arange(num_frames, dtype=torch.float64) / 2)


def pack(processor: VideoLLMProcessor, *examples: Example, max_length: int = 2048) -> dict:
    return PackingCollator(processor=processor, max_length=max_length)(list(examples))


def alone(clip: Clip) -> list[Example]:
    return [Example((clip,), (dialogue,)) for dialogue in QUESTIONS]


def test_single_question_is_token_for_token_what_the_processor_renders(
    processor: VideoLLMProcessor,
) -> None:
    for example in alone(draw_clip(0)):
        expected = processor(processor.render(example.dialogues[0], example.videos))
        batch = pack(processor, example)
        assert torch.equal(batch["input_ids"], expected["input_ids"])
        length = batch["input_ids"].shape[1]
        assert torch.equal(batch["position_ids"], torch.arange(length)[None])


def test_segments_continue_the_prefix_token_for_token(processor: VideoLLMProcessor) -> None:
    clip = draw_clip(0)
    batch = pack(processor, Example((clip,), QUESTIONS))
    ids, positions = batch["input_ids"][0], batch["position_ids"][0]
    starts = [i for i in range(1, len(ids)) if positions[i] != positions[i - 1] + 1]
    prefix = int((ids == processor.video_token_id).nonzero().max()) + 1
    bounds = [prefix, *starts, len(ids)]
    assert len(bounds) == len(QUESTIONS) + 1
    for dialogue, start, end in zip(QUESTIONS, bounds, bounds[1:], strict=False):
        rendered = processor(processor.render(dialogue, (clip,)))["input_ids"][0]
        assert torch.equal(torch.cat([ids[:prefix], ids[start:end]]), rendered)


def test_only_answers_and_their_end_are_supervised(processor: VideoLLMProcessor) -> None:
    batch = pack(processor, Example((draw_clip(0),), QUESTIONS))
    labels = batch["labels"][0]
    supervised = labels[labels != IGNORED]
    assert torch.equal(supervised, batch["input_ids"][0][labels != IGNORED])
    answers = "".join(f"{dialogue[1]['content']}<|im_end|>" for dialogue in QUESTIONS)
    assert processor.tokenizer.decode(supervised) == answers


def test_every_turn_of_a_conversation_is_supervised(processor: VideoLLMProcessor) -> None:
    talk: Dialogue = (
        *QUESTIONS[0],
        {"role": "user", "content": "And then?"},
        {"role": "assistant", "content": "it stops"},
    )
    tokens = tokenize(processor, talk, (draw_clip(0),))
    kept = [label for label in tokens.labels if label != IGNORED]
    assert processor.tokenizer.decode(kept) == "red<|im_end|>it stops<|im_end|>"


@torch.no_grad()
def test_packed_logits_are_those_of_each_question_alone(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor
) -> None:
    clip = draw_clip(1)
    packed = model(**pack(processor, Example((clip,), QUESTIONS))).logits
    single = torch.cat([model(**pack(processor, one)).logits for one in alone(clip)])
    torch.testing.assert_close(packed, single, atol=2e-5, rtol=1e-4)
    # The comparison means something only if answers depend on what they attend to.
    other = torch.cat([model(**pack(processor, one)).logits for one in alone(draw_clip(2))])
    assert (other - single).abs().max() > 1e-3


@torch.no_grad()
def test_packed_loss_is_the_mean_over_tokens_of_the_losses_alone(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor
) -> None:
    clips = [draw_clip(3), draw_clip(4, num_frames=8)]
    packed = model(**pack(processor, *(Example((clip,), QUESTIONS) for clip in clips))).loss
    total, count = 0.0, 0
    for clip in clips:
        for one in alone(clip):
            batch = pack(processor, one)
            tokens = int((batch["labels"] != IGNORED).sum())
            total, count = total + float(model(**batch).loss) * tokens, count + tokens
    assert float(packed) == pytest.approx(total / count, rel=1e-5)


@torch.no_grad()
def test_padding_and_neighbours_change_nothing(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor
) -> None:
    short, long = Example((draw_clip(5),), QUESTIONS[2:]), Example((draw_clip(6),), QUESTIONS)
    together = model(**pack(processor, short, long)).logits
    apart = torch.cat([model(**pack(processor, one)).logits for one in (short, long)])
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together, apart, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_short_mask_and_long_mask_agree(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor
) -> None:
    batch = pack(processor, *alone(draw_clip(7)))
    assert batch["attention_mask"].ndim == 2
    segments = torch.where(batch["attention_mask"] > 0, 1, -1)
    long = model(**{**batch, "attention_mask": attention_between(segments)}).logits
    torch.testing.assert_close(model(**batch).logits, long, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_text_alone_mixes_with_video(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor
) -> None:
    text: Dialogue = (
        {"role": "user", "content": "Say something."},
        {"role": "assistant", "content": "something"},
    )
    only_text, video = Example((), (text,)), Example((draw_clip(8),), QUESTIONS)
    assert "pixel_values" not in pack(processor, only_text)
    together = model(**pack(processor, only_text, video)).logits
    apart = torch.cat([model(**pack(processor, one)).logits for one in (only_text, video)])
    torch.testing.assert_close(together, apart, atol=2e-5, rtol=1e-4)


def test_mask_lets_segments_see_the_prefix_and_themselves() -> None:
    segments = torch.tensor([[0, 0, 1, 1, 2, -1]])
    expected = torch.tensor(
        [
            [1, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0],
            [1, 1, 1, 0, 0, 0],
            [1, 1, 1, 1, 0, 0],
            [1, 1, 0, 0, 1, 0],
            [1, 1, 0, 0, 0, 1],
        ]
    ).bool()
    assert torch.equal(attention_between(segments)[0, 0], expected)


def test_what_does_not_fit_is_left_out_and_said(
    processor: VideoLLMProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    clip = draw_clip(0)
    whole = pack(processor, Example((clip,), QUESTIONS))["input_ids"].shape[1]
    batch = pack(processor, Example((clip,), QUESTIONS), max_length=whole - 1)
    answers = processor.tokenizer.decode(batch["labels"][batch["labels"] != IGNORED])
    assert answers == "red<|im_end|>12 in all<|im_end|>"
    assert "2 of 3 dialogues fit" in caplog.text
    single = pack(processor, Example((clip,), QUESTIONS[:1]))["input_ids"].shape[1]
    with pytest.raises(RecipeError, match=rf"max_length: {single - 1} given; .* has {single} tok"):
        pack(processor, Example((clip,), QUESTIONS[:1]), max_length=single - 1)


def test_clip_that_cannot_fit_is_an_error(processor: VideoLLMProcessor) -> None:
    with pytest.raises(RecipeError, match=r"max_length: 20 given; the prefix .* alone has \d+"):
        pack(processor, Example((draw_clip(0),), QUESTIONS), max_length=20)
