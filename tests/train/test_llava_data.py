"""LLaVA files: bad samples are skipped, counted, reported, and too many end it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.videollm.drawn import draw_video, numbered_frames, numbers_of
from videollm.errors import DataError, RecipeError
from videollm.train.decoding import DecodeArguments
from videollm.train.examples import BAD_SAMPLES_FILE, BadSamples
from videollm.train.llava_data import (
    LlavaDialogues,
    MalformedRecord,
    parse_record,
    read_records,
)

GOOD = [{"from": "human", "value": "<video>\nWhat is it?"}, {"from": "gpt", "value": "a test"}]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    (folder / "good.mp4").write_bytes(draw_video(numbered_frames(30)))
    (folder / "other.mp4").write_bytes(draw_video(numbered_frames(15)))
    (folder / "text.mp4").write_text("not a video")
    return folder


def write(folder: Path, records: list[Any], *, lines: bool = False) -> Path:
    path = folder / ("data.jsonl" if lines else "data.json")
    texts = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(texts) if lines else f"[{','.join(texts)}]")
    return path


def load(path: Path, media: Path, *, max_bad: float = 0.0) -> LlavaDialogues:
    return LlavaDialogues(
        [path], media_folder=media, num_frames=4, output=path.parent / "out", max_bad=max_bad
    )


def reported(path: Path) -> list[dict[str, str]]:
    text = (path.parent / "out" / BAD_SAMPLES_FILE).read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("lines", [False, True])
def test_record_becomes_a_clip_and_a_dialogue(tmp_path: Path, media: Path, lines: bool) -> None:
    path = write(tmp_path, [{"id": "a", "video": "good.mp4", "conversations": GOOD}], lines=lines)
    (example,) = load(path, media)
    assert example.clip is not None
    assert example.clip.num_frames == 4
    user, assistant = example.dialogues[0]
    assert user["content"] == [{"type": "video"}, {"type": "text", "text": "What is it?"}]
    assert assistant == {"role": "assistant", "content": "a test"}


def test_part_of_a_video_is_read(tmp_path: Path, media: Path) -> None:
    record = {"video": "good.mp4", "start": 0.5, "end": 0.6, "conversations": GOOD}
    (example,) = load(write(tmp_path, [record]), media)
    assert example.clip is not None
    assert set(numbers_of(example.clip.frames)) <= set(range(15, 19))


def test_a_limit_on_time_gives_the_same_clips_or_a_bad_sample(tmp_path: Path, media: Path) -> None:
    record = {"video": "good.mp4", "start": 0.2, "conversations": GOOD}
    path = write(tmp_path, [record, {"conversations": [{"from": "human", "value": "Hi"}, GOOD[1]]}])
    folders = {"media_folder": media, "output": path.parent / "out"}
    limited = LlavaDialogues([path], num_frames=4, max_bad=0.5, decode_seconds=60.0, **folders)
    ours, theirs = load(path, media)[0].clip, limited[0].clip
    assert ours is not None
    assert theirs is not None
    assert torch.equal(ours.frames, theirs.frames)
    assert torch.equal(ours.pts_seconds, theirs.pts_seconds)
    hurried = LlavaDialogues([path], num_frames=4, max_bad=0.5, decode_seconds=1e-4, **folders)
    assert hurried[0].clip is None, "the next one stands in"
    assert "took more than 0.0001 s" in reported(path)[0]["reason"]
    with pytest.raises(RecipeError, match="decode_seconds: 0 given; above 0, or null"):
        DecodeArguments(decode_seconds=0)


def test_image_tag_means_the_video_and_missing_tag_puts_it_first(media: Path) -> None:
    for value in ("<image>\nWhat is it?", "What is it?", "What is it?\n<video>"):
        turns = [{"from": "human", "value": value}, GOOD[1]]
        record = parse_record("r", {"video": "good.mp4", "conversations": turns}, media)
        assert record.dialogue[0]["content"] == [
            {"type": "video"},
            {"type": "text", "text": "What is it?"},
        ]


def test_text_alone_has_no_video(tmp_path: Path, media: Path) -> None:
    turns = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hi"}, GOOD[1]]
    (example,) = load(write(tmp_path, [{"conversations": turns}]), media)
    assert example.clip is None
    assert [message["role"] for message in example.dialogues[0]] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("record", "match"),
    [
        (7, "a int instead of a record"),
        ({"video": "good.mp4"}, "no list of conversations"),
        ({"video": "absent.mp4", "conversations": GOOD}, "missing media .*absent.mp4"),
        ({"video": ["a", "b"], "conversations": GOOD}, "one path is supported"),
        ({"video": "good.mp4", "start": -1, "conversations": GOOD}, "start is -1"),
        ({"video": "good.mp4", "start": 2, "end": 1, "conversations": GOOD}, "not after its start"),
        ({"conversations": GOOD}, "1 media tags for 0 media"),
        ({"video": "good.mp4", "conversations": GOOD[:1]}, "turns must alternate"),
        ({"video": "good.mp4", "conversations": GOOD[::-1]}, "turns must alternate"),
        ({"video": "good.mp4", "conversations": [{"from": "human"}]}, "without 'from' and 'value'"),
        (
            {"video": "good.mp4", "conversations": [{"from": "bot", "value": "x"}]},
            "unknown speaker 'bot'",
        ),
        (
            {"video": "good.mp4", "conversations": [GOOD[0], {"from": "gpt", "value": " "}]},
            "an empty answer",
        ),
        (
            {"video": "good.mp4", "conversations": [GOOD[0], {"from": "gpt", "value": "<video>"}]},
            "outside a human turn",
        ),
        (
            {"conversations": [{"from": "human", "value": "<|video|>"}, GOOD[1]]},
            "stands for video frames",
        ),
    ],
)
def test_malformed_record_says_why(record: object, match: str, media: Path) -> None:
    with pytest.raises(MalformedRecord, match=match):
        parse_record("r", record, media)


def test_bad_records_are_counted_reported_and_skipped(tmp_path: Path, media: Path) -> None:
    good = {"video": "good.mp4", "conversations": GOOD}
    missing = {"video": "absent.mp4", "conversations": GOOD}
    path = write(tmp_path, [good, missing, "{broken", good], lines=True)
    data = load(path, media, max_bad=0.5)
    assert len(data) == 2
    first, second = reported(path)
    assert first["sample"] == f"{path}:2"
    assert "absent.mp4" in first["reason"]
    assert second["sample"] == f"{path}:3"
    assert second["reason"].startswith("not JSON")
    with pytest.raises(DataError, match=r"2 of 4 samples are bad, more than the share max_bad = 0"):
        load(path, media, max_bad=0.4)


def test_unreadable_video_is_replaced_by_the_next_and_reported(tmp_path: Path, media: Path) -> None:
    records = [
        {"video": name, "conversations": GOOD} for name in ("text.mp4", "other.mp4", "good.mp4")
    ]
    path = write(tmp_path, records)
    data = load(path, media, max_bad=0.5)
    for _ in range(2):
        clip = data[0].clip
        assert clip is not None
        assert max(numbers_of(clip.frames)) < 15
    (only,) = reported(path)
    assert only["sample"] == f"{path}[0]"
    strict = load(path, media, max_bad=0.2)
    assert strict[1].clip is not None
    with pytest.raises(DataError, match="1 of 3 samples are bad"):
        strict[0]


def test_part_beyond_the_end_is_a_bad_sample(tmp_path: Path, media: Path) -> None:
    records = [
        {"video": "good.mp4", "start": 99, "conversations": GOOD},
        {"video": "good.mp4", "conversations": GOOD},
    ]
    path = write(tmp_path, records)
    assert load(path, media, max_bad=0.5)[0].clip is not None
    assert "lasts from 0" in reported(path)[0]["reason"]


@pytest.mark.parametrize(
    ("text", "match"),
    [("{", "is not JSON"), ('{"a": 1}', "holds no list"), ("[]", "no usable record")],
)
def test_useless_file_is_an_error(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    with pytest.raises(DataError, match=match):
        load(path, tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        list(read_records(tmp_path / "absent.json"))


def test_a_sample_is_counted_once(tmp_path: Path) -> None:
    bad = BadSamples(tmp_path, num_samples=4, max_share=0.25)
    bad.add("a", "broken")
    bad.add("a", "broken again")
    bad.check()
    bad.add("b", "broken")
    with pytest.raises(DataError, match=r"2 of 4 .* the first: a: broken"):
        bad.check()
