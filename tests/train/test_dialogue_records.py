"""Records of every format: what they become, and why they are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from videollm.errors import DataError
from videollm.train.dialogue_lists import find_lists, read_values
from videollm.train.dialogue_records import Medium, MissingMedium, Record, parse_record
from videollm.train.dialogue_turns import MalformedRecord

ANSWER = {"from": "gpt", "value": "a test"}
GOOD = [{"from": "human", "value": "<video>\nWhat is it?"}, ANSWER]
VIDEO = {"type": "video"}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name in ("a.mp4", "b.mp4", "p.png", "q.png"):
        (folder / name).touch()
    return folder


def parse(value: object, media: Path) -> Record:
    return parse_record("r", value, media)


def human(text: str) -> dict[str, str]:
    return {"from": "human", "value": text}


def names(record: Record) -> list[str]:
    return [medium.path.name for medium in record.media]


def parts(record: Record) -> list[int]:
    """Return how many media each user message holds."""
    return [
        sum(part == VIDEO for part in message["content"])
        for message in record.dialogue
        if message["role"] == "user"
    ]


def test_llava_and_messages_become_the_same(media: Path) -> None:
    llava = parse({"video": "a.mp4", "start": 1, "end": 2, "conversations": GOOD}, media)
    assert llava.media == (
        Medium(kind="video", path=media / "a.mp4", start_seconds=1.0, end_seconds=2.0),
    )
    assert llava.dialogue == (
        {"role": "user", "content": [VIDEO, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": "a test"},
    )
    text = {"type": "text", "text": "What is it?"}
    spellings: list[dict[str, Any]] = [
        {"content": [{"type": "video", "video": "a.mp4", "start": 1, "end": 2}, text]},
        {"content": [{"type": "video_url", "video_url": {"url": "a.mp4"}, "video_start": 1.0,
                      "video_end": 2, "text": None}, text]},
        {"content": [VIDEO, text], "videos": ["a.mp4"], "start": [1], "end": [2]},
        {"content": "<video>What is it?", "video": "a.mp4", "start": 1, "end": 2},
    ]  # fmt: skip
    for spelling in spellings:
        question = {"role": "user", "content": spelling.pop("content")}
        answer = {"role": "assistant", "content": [{"type": "text", "text": "a test"}]}
        record = {"messages": [question, answer], "conversations": None, **spelling}
        assert parse(record, media) == llava


@pytest.mark.parametrize("value", ["<image>\nWhat?", "What?", "What?\n<video>", " <video> What? "])
def test_image_tag_means_the_video_and_a_missing_tag_puts_it_first(value: str, media: Path) -> None:
    record = parse({"video": ["a.mp4"], "conversations": [human(value), ANSWER]}, media)
    assert record.dialogue[0]["content"] == [VIDEO, {"type": "text", "text": "What?"}]


def test_media_of_several_kinds_find_their_places(media: Path) -> None:
    both = {"video": ["a.mp4", "b.mp4"], "image": "p.png"}
    turns = [human("<image>One <video>two"), ANSWER, human("three <video>"), ANSWER]
    record = parse({**both, "conversations": turns}, media)
    assert names(record) == ["p.png", "a.mp4", "b.mp4"]
    assert [medium.kind for medium in record.media] == ["image", "video", "video"]
    assert parts(record) == [2, 1]
    assert record.dialogue[0]["content"][-1] == {"type": "text", "text": "One\ntwo"}
    untagged = parse({**both, "conversations": [human("What?"), ANSWER]}, media)
    assert names(untagged) == ["a.mp4", "b.mp4", "p.png"]
    assert parts(untagged) == [3]
    assert (record.kind, parse({"image": "p.png", "conversations": GOOD}, media).kind) == (
        "both",
        "image",
    )


def test_text_alone_has_no_media(media: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    record = parse({"messages": [*turns, {"role": "assistant", "content": "Ho"}]}, media)
    assert (record.media, record.kind) == ((), "text")
    assert [message["role"] for message in record.dialogue] == ["system", "user", "assistant"]
    assert record.dialogue[1]["content"] == "Hi"


def stream(*turns: tuple[str, float | None], **fields: object) -> dict[str, object]:
    conversation = [
        {"from": who, "value": f"{who} {number}", "time": time}
        for number, (who, time) in enumerate(turns)
    ]
    return {"video": "a.mp4", "stream": True, "conversation": conversation, **fields}


def spans(record: Record) -> list[tuple[float | None, float | None]]:
    return [(medium.start_seconds, medium.end_seconds) for medium in record.media]


def test_a_stream_shows_each_answer_the_frames_until_its_time(media: Path) -> None:
    turns = (("human", 2.0), ("gpt", None), ("human", 6.0), ("gpt", 10.0))
    record = parse(stream(*turns, end_time=12), media)
    assert spans(record) == [(0.0, 2.0), (2.0, 10.0)]
    assert [medium.share for medium in record.media] == [0.2, 0.8]
    assert parts(record) == [1, 1]
    assert record.kind == "stream"


def test_a_stream_of_answers_gets_turns_of_frames_alone(media: Path) -> None:
    turns = (("human", 0.0), ("gpt", 3.0), ("gpt", 4.0), ("human", None), ("gpt", None))
    record = parse(stream(*turns), media)
    assert spans(record) == [(0.0, 3.0), (3.0, 4.0)]
    roles = [message["role"] for message in record.dialogue]
    assert roles == ["user", "assistant"] * 3
    assert record.dialogue[2]["content"] == [VIDEO]
    # The last question comes at 4 s as well: there is nothing new to see.
    assert record.dialogue[4]["content"] == "human 3"


def test_a_question_at_the_start_sees_the_frame_on_show(media: Path) -> None:
    ((begin, end),) = spans(parse(stream(("human", 5), ("gpt", 5), start_time=5), media))
    assert begin == 5.0
    assert end == pytest.approx(5.0, abs=1e-5)


@pytest.mark.parametrize(
    ("record", "match"),
    [
        (7, "a int instead of a record"),
        ({"video": "a.mp4"}, "no list of conversations or messages"),
        ({"video": "gone.mp4", "conversations": GOOD}, "missing media .*gone.mp4"),
        ({"video": 7, "conversations": GOOD}, "video is 7; a path or a list"),
        ({"video": "a.mp4", "start": -1, "conversations": GOOD}, "start is -1"),
        ({"video": "a.mp4", "start": "1", "conversations": GOOD}, "start is '1'"),
        ({"video": "a.mp4", "start": 2, "end": 1, "conversations": GOOD}, "not after its start"),
        ({"video": "a.mp4", "start": [1, 2], "conversations": GOOD}, "2 numbers in start for 1"),
        ({"conversations": GOOD}, "1 media tags for 0 media"),
        ({"video": ["a.mp4", "b.mp4"], "conversations": GOOD}, "1 media tags for 2 media"),
        ({"video": "a.mp4", "conversations": [human("<video><video>x"), ANSWER]},
         "2 media tags for 1 media"),
        ({"video": "a.mp4", "image": "p.png", "conversations": [human("<image><image>"), ANSWER]},
         "2 media tags for 2 media: 0 tags and 1 media are videos"),
        ({"video": "a.mp4", "conversations": GOOD[:1]}, "no answer"),
        ({"video": "a.mp4", "conversations": GOOD[::-1]}, "alternate.*they go assistant, user"),
        ({"conversations": [human("a"), human("b"), ANSWER]}, "turns must alternate"),
        ({"conversations": [human("a"), ANSWER, ANSWER]}, "turns must alternate"),
        ({"conversations": [human("a"), ANSWER, {"role": "system", "content": "x"}]},
         "a system turn that is not the first"),
        ({"conversations": [{"role": "system", "content": "x"}]}, "no answer"),
        ({"conversations": [{"value": "x"}]}, "turn 1: no 'from' and 'value'"),
        ({"conversations": [{"from": "bot", "value": "x"}]}, "turn 1: unknown speaker 'bot'"),
        ({"conversations": [human("a"), {"from": "gpt", "value": " "}]}, "an empty answer"),
        ({"conversations": [human(" "), ANSWER]}, "an empty question"),
        ({"video": "a.mp4", "conversations": [GOOD[0], {"from": "gpt", "value": "<video>"}]},
         "turn 2: a medium outside a human turn"),
        ({"conversations": [human("<|video|>"), ANSWER]}, "stands for frames"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "type 'audio'"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "a part 'x' without a type"),
        ({"messages": [{"role": "user", "content": None}]}, "its content is None"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "image": b"x"}]}]},
         "image is bytes; give its path"),
        (stream(("human", None), ("gpt", None)), "no time"),
        (stream(("human", 3), ("gpt", 2)), "a turn at 2 s, before the one before it"),
        (stream(("human", 3), ("gpt", 9), end=8), "outside 0 s to 8 s"),
        (stream(("human", 3), ("gpt", 3), video=["a.mp4", "b.mp4"]), "a stream of 2 media"),
        (stream(("human", 3), ("gpt", 3), ("gpt", 3)), "turns must alternate"),
    ],
)  # fmt: skip
def test_a_malformed_record_says_why(record: object, match: str, media: Path) -> None:
    with pytest.raises(MalformedRecord, match=match):
        parse(record, media)


def test_a_missing_medium_is_known_by_its_path(media: Path) -> None:
    with pytest.raises(MissingMedium) as caught:
        parse({"image": "gone.png", "conversations": GOOD}, media)
    assert caught.value.path == media / "gone.png"


def test_files_are_told_by_what_they_hold(tmp_path: Path) -> None:
    records = [{"a": 1}, {"b": [2]}]
    lines = "\n".join(map(json.dumps, records)) + "\n"
    texts = {"list.json": json.dumps(records, indent=1), "lines.json": lines, "l.jsonl": lines}
    for name, text in texts.items():
        path = tmp_path / name
        path.write_text(text)
        found = list(read_values(path))
        assert [value for _, value in found] == records
        assert found[1][0] == (f"{path}[1]" if name == "list.json" else f"{path}:2")
    torn = tmp_path / "torn.jsonl"
    torn.write_text('{"a": 1}\n\n{"b"\n')
    (_, first), (name, second) = read_values(torn)
    assert first == {"a": 1}
    assert name == f"{torn}:3"
    assert isinstance(second, MalformedRecord)


def test_parquet_is_read_when_it_can_be(tmp_path: Path, media: Path) -> None:
    table = pytest.importorskip("pyarrow")
    write = pytest.importorskip("pyarrow.parquet").write_table
    path = tmp_path / "data.parquet"
    chat = [
        {"role": "user", "content": [{**VIDEO, "text": None}, {"type": "text", "text": "?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
    ]  # fmt: skip
    rows = [{"messages": chat, "videos": ["a.mp4"]}, {"messages": chat, "videos": None}]
    write(table.Table.from_pylist(rows), path)
    (name, first), (_, second) = read_values(path)
    assert name == f"{path}[0]"
    assert parts(parse(first, media)) == [1]
    with pytest.raises(MalformedRecord, match="1 media tags for 0"):
        parse(second, media)
    path.write_bytes(b"torn")
    with pytest.raises(DataError, match="data.parquet: cannot be read"):
        list(read_values(path))


def test_folders_and_patterns_are_searched(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.json", "c.txt"):
        (tmp_path / name).touch()
    both = [tmp_path / "a.json", tmp_path / "b.jsonl"]
    assert find_lists([str(tmp_path)]) == both
    assert find_lists([str(tmp_path / "*.json*")]) == both
    assert find_lists([str(both[1]), str(tmp_path / "a*")]) == both[::-1]
    for name in ("*.csv", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DataError, match=f"data_path: .*{name[-3:]}: no file there"):
            find_lists([str(tmp_path / name)])


@pytest.mark.parametrize(
    ("text", "match"), [("{", "is not JSON"), ('{"a": 1}', "holds no list"), ("7", "no list")]
)
def test_a_useless_file_is_an_error(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    with pytest.raises(DataError, match=match):
        list(read_values(path))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_values(tmp_path / "absent.json"))
