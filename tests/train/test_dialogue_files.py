"""Data sets of files: bad samples are skipped, counted, named, and too many end the run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.tiny import tiny_videollm
from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from videollm.api import VideoLLM
from videollm.clip import Clip
from videollm.errors import DataError
from videollm.processor import VideoLLMProcessor
from videollm.train.collate import PackingCollator
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.dialogue_files import DialogueFiles
from videollm.train.dialogue_sets import build_members, build_mixture
from videollm.train.examples import BAD_SAMPLES_FILE, BadSamples, Dialogue
from videollm.train.frame_budget import FrameBudget

GOOD = [{"from": "human", "value": "<video>\nWhat is it?"}, {"from": "gpt", "value": "a test"}]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    (folder / "good.mp4").write_bytes(draw_video(numbered_frames(30)))
    (folder / "other.mp4").write_bytes(draw_video(numbered_frames(15)))
    (folder / "text.mp4").write_text("not a video")
    Image.new("RGB", (32, 24), (200, 30, 30)).save(folder / "red.png")
    return folder


@pytest.fixture(scope="module")
def videollm(tiny_llm: Path) -> VideoLLM:
    return VideoLLM(*tiny_videollm(tiny_llm, tubelet_size=2), name="tiny")


@pytest.fixture(scope="module")
def processor(videollm: VideoLLM) -> VideoLLMProcessor:
    return videollm.processor


def sample(name: str, turns: list[Any] = GOOD, **fields: object) -> dict[str, Any]:
    return {"video": name, "conversations": turns, **fields}


class Loader:
    """Write records beside each other and load them."""

    def __init__(self, folder: Path, media: Path, processor: VideoLLMProcessor) -> None:
        self.folder, self.media, self.processor = folder, media, processor
        self.path = folder / "data.jsonl"

    def __call__(
        self,
        *records: object,
        max_bad: float = 0.0,
        max_length: int = 2048,
        sampling: str = "all",
        decode_seconds: float | None = None,
        **frames: Any,
    ) -> DialogueFiles:
        lines = [item if isinstance(item, str) else json.dumps(item) for item in records]
        self.path.write_text("\n".join(lines))
        bad = BadSamples(self.folder / "out", num_samples=0, max_share=max_bad)
        budget = FrameBudget(
            **{"num_frames": 4, "tubelet_size": 2, "tokens_per_frame": 4, **frames}
        )
        dataset = DialogueFiles(
            [self.path], media_folder=self.media, processor=self.processor, frames=budget,
            max_length=max_length, bad=bad, sampling=sampling, decode_seconds=decode_seconds,
        )  # fmt: skip
        bad.check()
        return dataset

    def reported(self) -> dict[str, str]:
        """Return the reasons by line."""
        text = (self.folder / "out" / BAD_SAMPLES_FILE).read_text()
        records = [json.loads(line) for line in text.splitlines()]
        return {item["sample"].removeprefix(f"{self.path}:"): item["reason"] for item in records}


@pytest.fixture
def load(tmp_path: Path, media: Path, processor: VideoLLMProcessor) -> Loader:
    return Loader(tmp_path, media, processor)


def test_record_becomes_clips_and_a_dialogue(load: Loader) -> None:
    several = {
        **{"video": ["good.mp4", "other.mp4"], "start": [0.5, 0], "end": [0.6, 0.1]},
        **{"image": ["red.png"], "conversations": [{"from": "human", "value": "?"}, GOOD[1]]},
    }
    data = load(sample("good.mp4"), several, sample("red.png"))
    assert [len(clip) for clip in data[0].videos] == [4]
    first, second, image = data[1].videos
    assert set(numbers_of(first.frames)) <= set(range(15, 19))
    assert set(numbers_of(second.frames)) <= set(range(4))
    assert (len(first), len(second), len(image)) == (4, 4, 1)
    assert data[0].dialogues[0][1] == {"role": "assistant", "content": "a test"}
    # Named as a video, a picture is one frame all the same.
    assert [len(clip) for clip in data[2].videos] == [1]


def test_a_limit_on_time_gives_the_same_clips_or_a_bad_sample(load: Loader) -> None:
    records = [
        sample("good.mp4", start=0.2),
        {"conversations": [{"from": "human", "value": "Hi"}, GOOD[1]]},
    ]
    (ours,), (theirs,) = load(*records)[0].videos, load(*records, decode_seconds=60.0)[0].videos
    assert torch.equal(ours.frames, theirs.frames)
    assert torch.equal(ours.pts_seconds, theirs.pts_seconds)
    hurried = load(*records, decode_seconds=1e-4, max_bad=0.5)
    assert hurried[0].videos == (), "the next one stands in"
    assert "took more than 0.0001 s" in load.reported()["1"]


def test_bad_records_are_counted_reported_and_skipped(load: Loader) -> None:
    records = [sample("good.mp4"), sample("gone.mp4"), "{broken", sample("good.mp4")]
    assert len(load(*records, max_bad=0.5)) == 2
    told = load.reported()
    assert told.keys() == {"2", "3"}
    assert "missing media" in told["2"]
    assert told["3"].startswith("not JSON")
    with pytest.raises(DataError, match=r"2 of 4 samples are bad, more than the share max_bad = 0"):
        load(*records, max_bad=0.4)
    with pytest.raises(DataError, match=r"1 of 1 samples .*/data.jsonl:1: missing media"):
        load(sample("gone.mp4"))


def test_unreadable_video_is_replaced_by_the_next_and_reported(load: Loader) -> None:
    records = [sample(name) for name in ("text.mp4", "other.mp4", "good.mp4")]
    data = load(*records, max_bad=0.5)
    for _ in range(2):
        assert max(numbers_of(data[0].videos[0].frames)) < 15
    assert load.reported().keys() == {"1"}
    strict = load(*records, max_bad=0.2)
    assert strict[1].videos
    with pytest.raises(DataError, match="1 of 3 samples are bad"):
        strict[0]


def test_part_beyond_the_end_is_a_bad_sample(load: Loader) -> None:
    data = load(sample("good.mp4", start=99), sample("good.mp4"), max_bad=0.5)
    assert data[0].videos
    assert "lasts from 0" in load.reported()["1"]


def test_a_sample_that_is_too_long_is_left_out_by_name_and_never_cut(load: Loader) -> None:
    talk = [GOOD[0], {"from": "gpt", "value": "word " * 100}]
    records = [sample("good.mp4", talk), sample("good.mp4")]
    free = load(*records)
    length = free.count_tokens(free.records[0], free[0].videos)
    assert (
        load(*records, max_length=length)[0].dialogues[0][1]["content"] == ("word " * 100).strip()
    )
    data = load(*records, max_length=length - 1, max_bad=0.5)
    assert data[0].dialogues[0][1]["content"] == "a test"
    assert load.reported()["1"].startswith(f"{length} tokens, more than max_length = {length - 1}")
    with pytest.raises(DataError, match=r"/data.jsonl:1: \d+ tokens, more than max_length"):
        load(*records, max_length=length - 1)[0]


def test_a_budget_bounds_every_sample(load: Loader, processor: VideoLLMProcessor) -> None:
    records = [sample("good.mp4"), {"video": ["good.mp4", "other.mp4"], "conversations": [
        {"from": "human", "value": "?"}, GOOD[1]]}]  # fmt: skip
    for frames in ({"num_frames": 30}, {"fps": 25.0, "max_frames": 30}):
        data = load(*records, **frames, max_visual_tokens=24)
        for example, token_frames in zip(map(data.__getitem__, range(2)), (6, 6), strict=True):
            tokens = processor.render(example.dialogues[0], example.videos)
            assert tokens.count(processor.video_token) == 4 * token_frames
    with pytest.raises(DataError, match=r"2 media need 8 visual tokens at least; max_visual_tok"):
        load(*records, max_visual_tokens=7)


def test_rate_follows_the_length_of_a_video(load: Loader) -> None:
    data = load(sample("good.mp4"), sample("other.mp4"), fps=10.0, max_frames=64)
    assert [len(data[index].videos[0]) for index in range(2)] == [10, 5]


def test_a_question_in_a_stream_sees_only_frames_until_its_time(load: Loader) -> None:
    times = [0.0, 0.3, 0.31, 0.8]
    turns = [
        {"from": who, "value": f"at {time}", "time": time}
        for time in times
        for who in ("human", "gpt")
    ]
    record = {"video": "good.mp4", "stream": True, "conversation": turns}
    for frames in ({"num_frames": 12}, {"fps": 30.0}):
        (example,) = (load(record, **frames)[index] for index in range(1))
        (dialogue,) = example.dialogues
        assert len(example.videos) == len(times)
        shown = -1.0
        for question, clip, time in zip(dialogue[::2], example.videos, times, strict=True):
            assert [part["type"] for part in question["content"]] == ["video", "text"]
            assert float(clip.pts_seconds.max()) <= time + 1e-5
            assert float(clip.pts_seconds.min()) >= shown - 1 / 30
            shown = float(clip.pts_seconds.max())
        assert shown > 0.6


def test_answers_between_clips_are_supervised(load: Loader, processor: VideoLLMProcessor) -> None:
    turns = [{"from": who, "value": f"{who} {time}", "time": time}
             for time in (0.2, 0.5) for who in ("human", "gpt")]  # fmt: skip
    data = load({"video": "good.mp4", "conversation": turns})
    batch = PackingCollator(processor=processor, max_length=2048)([data[0]])
    kept = processor.tokenizer.decode(batch["labels"][batch["labels"] != -100])
    assert kept == "gpt 0.2<|im_end|>gpt 0.5<|im_end|>"
    assert batch["frame_counts"].tolist() == [2, 2]


@pytest.mark.parametrize("name", ["red.png", "good.mp4"])
def test_chat_and_training_show_the_model_the_same(
    name: str, load: Loader, media: Path, videollm: VideoLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = videollm.processor
    seen: dict[str, Any] = {}
    render, pixels = processor.render, processor.pixels

    def listen(messages: Dialogue, videos: Sequence[Clip] = (), **options: Any) -> str:
        seen["text"] = render(messages, videos, **options)
        return seen["text"]

    def look(videos: Sequence[Clip]) -> dict[str, torch.Tensor]:
        seen["pixels"] = pixels(videos)["pixel_values"]
        return pixels(videos)

    monkeypatch.setattr(processor, "render", listen)
    monkeypatch.setattr(processor, "pixels", look)
    videollm.chat(media / name, "What is it?", max_new_tokens=1)
    asked = dict(seen)
    key = "image" if name.endswith("png") else "video"
    data = load({key: name, "conversations": GOOD}, num_frames=processor.num_frames)
    batch = PackingCollator(processor=processor, max_length=2048)([data[0]])
    prompt = processor.tokenizer(asked["text"], add_special_tokens=False)["input_ids"]
    assert batch["input_ids"][0, : len(prompt)].tolist() == prompt
    assert (batch["labels"][0, : len(prompt)] == -100).all()
    assert torch.equal(batch["pixel_values"], asked["pixels"])
    frames = 2 if key == "image" else processor.num_frames
    assert prompt.count(processor.video_token_id) == frames // 2 * processor.tokens_per_frame


@torch.no_grad()
def test_images_videos_and_texts_mix_in_one_batch(load: Loader, videollm: VideoLLM) -> None:
    turns = [{"from": "human", "value": "<image>one <video>two"}, GOOD[1]]
    text = {"conversations": [{"from": "human", "value": "Hi"}, GOOD[1]]}
    data = load(sample("good.mp4"), text, {"video": "good.mp4", "image": "red.png",
                                           "conversations": turns})  # fmt: skip
    collate = PackingCollator(processor=videollm.processor, max_length=2048)
    together = videollm.model(**collate([data[0], data[1], data[2]])).logits
    apart = torch.cat([videollm.model(**collate([data[index]])).logits for index in range(3)])
    torch.testing.assert_close(together, apart, atol=2e-5, rtol=1e-4)


def test_a_recipe_mixes_files_with_the_toy_world(load: Loader, media: Path, tmp_path: Path) -> None:
    load(*[sample("good.mp4") for _ in range(6)])
    text = tmp_path / "text.json"
    text.write_text(json.dumps([{"conversations": [{"from": "human", "value": "a"}, GOOD[1]]}] * 2))
    data = DialogueArguments(
        mixture={
            "clips": {"data_path": str(load.path), "sampling": "first:4", "weight": 2},
            "text": {"json_path": [str(text)], "repeat": 3},
            "toy": {"num_clips": 5, "questions_per_clip": 2, "sampling": "first:40%"},
        },
        mixing="weights",
        media_folder=str(media),
    )  # fmt: skip
    bad = BadSamples(tmp_path, num_samples=0, max_share=0.0)
    members = build_members(data, load.processor, bad=bad, seed=0)
    assert [(member.name, member.size) for member in members] == [
        ("clips", 4),
        ("text", 2),
        ("toy", 2),
    ]
    mixture = build_mixture(members, data, seed=0)
    assert mixture.counts == [6, 3, 3]
    kinds = [len(mixture[draw].dialogues) for draw in range(len(mixture))]
    assert kinds == [1] * 9 + [2] * 3
