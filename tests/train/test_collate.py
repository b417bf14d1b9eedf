"""Packing: every token sees in a packed row exactly what it would see alone."""

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_encoder
from videollm.clip import Clip
from videollm.errors import RecipeError
from videollm.llm import load_tokenizer
from videollm.model import VideoLLMForConditionalGeneration
from videollm.packing import dense_mask, prepare_packing, sequences_of_spans, spans_tensor
from videollm.processor import VideoLLMProcessor
from videollm.train.collate import IGNORED, PackingCollator, PaddingCollator, tokenize
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


def pad(processor: VideoLLMProcessor, *examples: Example) -> dict:
    return PaddingCollator(processor=processor, max_length=2048)(list(examples))


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


TEXT: Dialogue = (
    {"role": "user", "content": "Say something."},
    {"role": "assistant", "content": "something"},
)
TALK: Dialogue = (
    {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What?"}]},
    {"role": "assistant", "content": "bars"},
    {"role": "user", "content": [{"type": "video"}, {"type": "video"}]},
    {"role": "assistant", "content": "more of them"},
)


SHORT: Dialogue = ({"role": "user", "content": "Two?"}, {"role": "assistant", "content": "2"})


def mixed() -> list[Example]:
    """Return questions about one clip, text alone, several clips in turn, a picture."""
    return [
        Example((draw_clip(1),), QUESTIONS),
        Example((), (TEXT,)),
        Example((draw_clip(2, num_frames=8), draw_clip(3), draw_clip(4, num_frames=2)), (TALK,)),
        Example((draw_clip(5, num_frames=1),), QUESTIONS[:1]),
        Example((), (TEXT, SHORT)),
    ]


def one_by_one(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor, examples: list[Example]
) -> tuple[list[torch.Tensor], list[float]]:
    """Return logits and loss of each dialogue in a row of its own, the usual way."""
    logits, losses = [], []
    for example in examples:
        for dialogue in example.dialogues:
            batch = pad(processor, Example(example.videos, (dialogue,)))
            out = model(**batch)
            logits.append(out.logits)
            losses.append(float(out.loss))
    return logits, losses


@torch.no_grad()
@pytest.mark.parametrize("way", ["prepared", "dense mask", "eager"])
def test_packed_is_one_by_one(
    way: str,
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
) -> None:
    examples = mixed()
    expected, losses = one_by_one(model, processor, examples)
    language = model.language_model
    before = language.config._attn_implementation
    if way == "prepared":
        prepare_packing(language)
        assert language.config._attn_implementation != before
    elif way == "eager":
        language.set_attn_implementation("eager")
    try:
        batch = pack(processor, *examples)
        assert batch["input_ids"].shape[0] == 1
        packed = model(**batch)
    finally:
        language.set_attn_implementation(before)
    torch.testing.assert_close(packed.logits, torch.cat(expected), atol=2e-5, rtol=1e-4)
    counts = [len(item) for item in expected]
    mean = sum(loss * n for loss, n in zip(losses, counts, strict=True)) / sum(counts)
    assert float(packed.loss) == pytest.approx(mean, rel=1e-5)
    # The comparison means something only if answers depend on what they attend to.
    other, _ = one_by_one(model, processor, [Example((draw_clip(9),), QUESTIONS)])
    assert (torch.cat(other) - torch.cat(expected[:3])).abs().max() > 1e-3


@torch.no_grad()
def test_padded_rows_are_one_by_one(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor
) -> None:
    expected, _ = one_by_one(model, processor, mixed())
    batch = pad(processor, *mixed())
    assert batch["input_ids"].shape[0] == len(expected)
    torch.testing.assert_close(model(**batch).logits, torch.cat(expected), atol=2e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("changed", range(5))
def test_nothing_leaks_between_samples(
    changed: int, model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor
) -> None:
    prepare_packing(model.language_model)
    examples = mixed()
    batch = pack(processor, *examples)
    counts = [int((pack(processor, item)["labels"] != IGNORED).sum()) for item in examples]
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    # The dialogues of a text have no prefix to share.
    assert len(starts) == len(examples) + 1
    starts.pop()
    before = model(**batch).logits.split(counts)
    ids = batch["input_ids"].clone()
    end = [*starts[1:], ids.shape[1]][changed]
    own = ids[:, starts[changed] : end]
    own[own != processor.video_token_id] = 7
    after = model(**{**batch, "input_ids": ids}).logits.split(counts)
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        assert torch.equal(old, new) == (number != changed)


def test_text_alone_reaches_every_part_and_moves_none(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor
) -> None:
    batch = pack(processor, mixed()[1])
    expected = float(model(**batch).loss.detach())
    model.train()
    try:
        loss = model(**batch).loss
        loss.backward()
    finally:
        model.eval()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)
    # Processes whose batches hold videos would wait for gradients that never come.
    for part in (model.vision_model, model.projector):
        gradients = [item.grad for item in part.parameters()]
        assert all(item is not None and not item.any() for item in gradients)
    model.zero_grad()


def test_rows_of_examples_are_one_row(processor: VideoLLMProcessor) -> None:
    flat = pack(processor, *mixed())
    nested = PackingCollator(processor=processor, max_length=2048)([mixed()[:2], mixed()[2:]])
    assert flat.keys() == nested.keys()
    assert all(torch.equal(value, nested[name]) for name, value in flat.items())


def test_spans_let_dialogues_see_the_prefix_and_themselves(processor: VideoLLMProcessor) -> None:
    spans = spans_tensor([(0, 2, 0, 0), (2, 4, 0, 2), (4, 5, 0, 2), (5, 7, 5, 5)])
    expected = torch.tensor(
        [
            [1, 0, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0, 0],
            [1, 1, 1, 0, 0, 0, 0],
            [1, 1, 1, 1, 0, 0, 0],
            [1, 1, 0, 0, 1, 0, 0],
            [0, 0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 1, 1],
        ]
    ).bool()
    assert torch.equal(dense_mask(spans, 7)[0, 0], expected)
    assert sequences_of_spans(spans) == [[0, 1, 2, 3], [0, 1, 4], [5, 6]]


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
