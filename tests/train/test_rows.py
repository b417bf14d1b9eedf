"""Rows filled by length, groups of a length, records that share a video, for random sizes."""

import json
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import tiny_videollm
from tests.videollm.drawn import draw_video, numbered_frames
from videollm.errors import RecipeError
from videollm.processor import VideoLLMProcessor
from videollm.train.collate import PackingCollator, tokenize
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.dialogue_sets import build_members, build_mixture
from videollm.train.draws import DrawSampler
from videollm.train.examples import BadSamples
from videollm.train.lengths import LengthGroupSampler, RowSampler, fill_rows
from videollm.train.mixture import Mixture
from videollm.train.rows import Rows

LENGTHS = st.lists(st.integers(1, 100), min_size=1, max_size=60)


@given(LENGTHS, st.integers(100, 300))
def test_rows_hold_every_sample_once_and_no_more_than_fits(
    lengths: list[int], max_tokens: int
) -> None:
    rows = fill_rows(lengths, max_tokens)
    assert sorted(chain.from_iterable(rows)) == list(range(len(lengths)))
    filled = [sum(lengths[place] for place in row) for row in rows]
    assert max(filled) <= max_tokens
    # No two rows would fit into one.
    assert all(a + b > max_tokens for a, b in zip(sorted(filled), sorted(filled)[1:], strict=False))


@given(LENGTHS, st.integers(0, 5), st.integers(1, 4))
def test_rows_go_through_the_draws_of_all_passes(
    lengths: list[int], seed: int, batch_size: int
) -> None:
    count = len(lengths)

    def tokens(draw: int) -> int:
        return lengths[draw % count]

    sampler = RowSampler(count, seed, tokens=tokens, max_tokens=120, batch_size=batch_size)
    assert len(sampler) % batch_size == 0
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert len(epochs[-1]) == len(sampler)
    drawn = list(chain.from_iterable(chain.from_iterable(epochs)))
    assert len(set(drawn)) == len(drawn)
    again = RowSampler(count, seed, tokens=tokens, max_tokens=120, batch_size=batch_size)
    again.set_epoch(2)
    assert list(again) == epochs[2]


@given(LENGTHS, st.integers(0, 5), st.integers(1, 5), st.integers(0, 2))
def test_groups_of_a_length_hold_the_draws_of_an_epoch(
    lengths: list[int], seed: int, batch_size: int, epoch: int
) -> None:
    def tokens(draw: int) -> int:
        return lengths[draw % len(lengths)]

    plain = DrawSampler(len(lengths), seed, batch_size=batch_size)
    grouped = LengthGroupSampler(len(lengths), seed, tokens=tokens, batch_size=batch_size)
    for sampler in (plain, grouped):
        sampler.set_epoch(epoch)
    draws = list(grouped)
    assert sorted(draws) == sorted(plain)
    steps = [sorted(tokens(draw) for draw in step) for step in np.reshape(draws, (-1, batch_size))]
    # Sorted by their shortest, steps do not overlap.
    steps.sort()
    assert all(a[-1] <= b[0] for a, b in zip(steps, steps[1:], strict=False))


@pytest.fixture(scope="module")
def processor(tiny_llm: Path) -> VideoLLMProcessor:
    return tiny_videollm(tiny_llm)[1]


def about(number: int, video: str | None = "a.mp4", **fields: object) -> dict[str, object]:
    tag = "" if video is None else "<video>\n"
    turns = [{"from": "human", "value": f"{tag}What is {number}?"}]
    turns.append({"from": "gpt", "value": "it " * (number % 7 + 1)})
    return {**({} if video is None else {"video": video}), "conversations": turns, **fields}


def mixture(
    folder: Path, processor: VideoLLMProcessor, records: list[object], **options: object
) -> tuple[Mixture, DialogueArguments]:
    (folder / "a.mp4").write_bytes(draw_video(numbered_frames(12)))
    (folder / "b.mp4").write_bytes(draw_video(numbered_frames(6)))
    (folder / "bad.mp4").write_text("no video")
    (folder / "data.json").write_text(json.dumps(records))
    data = DialogueArguments(
        dataset="llava", data_path=[str(folder / "data.json")], num_frames=4, **options
    )
    bad = BadSamples(folder, num_samples=0, max_share=0.5)
    return build_mixture(build_members(data, processor, bad=bad, seed=0), data, seed=0), data


def test_rows_of_files_keep_to_their_tokens_and_leave_out_bad_samples(
    processor: VideoLLMProcessor, tmp_path: Path
) -> None:
    records = [about(n, [None, "a.mp4", "b.mp4"][n % 3]) for n in range(30)]
    records[4] = about(4, "bad.mp4")
    samples, data = mixture(tmp_path, processor, records, max_length=150)
    rows = Rows(samples, max_tokens=300, seed=3)
    collate = PackingCollator(processor=processor, max_length=data.max_length)
    found, sizes = [], []
    for draws in islice(rows.sampler(1), len(rows)):
        examples = rows[draws]
        assert len(examples) >= len(draws) - 1
        batch = collate([examples])
        sizes.append(batch["input_ids"].shape[1])
        found += [item.dialogues[0][0]["content"] for item in examples]
    texts = [item if isinstance(item, str) else item[-1]["text"] for item in found]
    assert max(sizes) <= 300
    assert sorted(texts) == sorted(f"What is {n}?" for n in range(30) if n != 4)
    only_bad = next(d for d in range(30) if samples.read(d) is None)
    assert len(rows[(only_bad,)]) == 1, "another one stands in"


def test_records_about_the_same_part_share_their_frames(
    processor: VideoLLMProcessor, tmp_path: Path
) -> None:
    follow_up = about(5)
    follow_up["conversations"] = [*follow_up["conversations"], *about(6, None)["conversations"]]
    records = [
        *(about(n) for n in range(3)),
        about(3, end=0.2),
        follow_up,
        about(7, None),
        about(8, None),
        about(9, "b.mp4"),
        about(10, end=0.2),
        about(11),
    ]
    apart, _ = mixture(tmp_path, processor, records)
    assert len(apart) == len(records)
    shared, _ = mixture(tmp_path, processor, records, shared_questions=4)
    examples = [shared.members[0].dataset[place] for place in range(len(shared))]
    questions = [
        [
            int(str(d[0]["content"] if isinstance(d[0]["content"], str)
                    else d[0]["content"][-1]["text"]).split()[-1][:-1])
            for d in example.dialogues
        ]
        for example in examples
    ]  # fmt: skip
    assert questions == [[0, 1, 2, 5], [3, 10], [7], [8], [9], [11]]
    # Dialogues of a sample begin alike, token for token, and together are what they are apart.
    collate = PackingCollator(processor=processor, max_length=2048)
    for example in examples:
        ones = [tokenize(processor, item, example.videos) for item in example.dialogues]
        prefix = ones[0].prefix_length
        assert all(one.prefix_length == prefix for one in ones)
        length = collate([example])["input_ids"].shape[1]
        assert length == prefix + sum(len(one.input_ids) - prefix for one in ones)
    bounded, data = mixture(tmp_path, processor, records, shared_questions=9, max_length=170)
    for place in range(len(bounded)):
        example = bounded.members[0].dataset[place]
        row = PackingCollator(processor=processor, max_length=10_000)([example])
        assert row["input_ids"].shape[1] <= data.max_length


def test_lengths_are_those_of_the_tokens(processor: VideoLLMProcessor, tmp_path: Path) -> None:
    records = [about(0, end=0.4), about(1, None), about(2, end=0.4)]
    samples, _ = mixture(tmp_path, processor, records, shared_questions=2)
    collate = PackingCollator(processor=processor, max_length=2048)
    for draw in range(len(samples)):
        assert samples.tokens(draw) == collate([samples[draw]])["input_ids"].shape[1]
    toys = DialogueArguments(num_clips=3, questions_per_clip=4, num_frames=4)
    bad = BadSamples(tmp_path, num_samples=0, max_share=0)
    drawn = build_mixture(build_members(toys, processor, bad=bad, seed=0), toys, seed=0)
    for draw in range(3):
        assert drawn.tokens(draw) == collate([drawn[draw]])["input_ids"].shape[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"row_tokens": 1000}, "row_tokens: 1000 given; a sample may have max_length = 2048"),
        ({"row_tokens": 4096, "packing": False}, "row_tokens: rows are filled by packing"),
        ({"shared_questions": 0}, "shared_questions: 0 given, 1 or more allowed"),
    ],
)
def test_settings_that_contradict_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        DialogueArguments(**options)
