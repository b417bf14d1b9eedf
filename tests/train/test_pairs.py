"""Pairs of answers: what a line may be, what is refused, and the rows that they become."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.runs import TINY_ENCODER, refusal, write_videos
from videollm.cli import main
from videollm.clip import Clip
from videollm.processor import VideoLLMProcessor
from videollm.train.arguments import ModelArguments
from videollm.train.building import build_processor
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.dialogue_records import parse_record
from videollm.train.dialogue_turns import MalformedRecord
from videollm.train.examples import Example
from videollm.train.pair_collator import PairCollator
from videollm.train.pairs import parse_pair

PAIR: dict[str, Any] = {"video": "a.mp4", "prompt": "What?", "chosen": "yes", "rejected": "no"}
TURN = {"role": "assistant", "content": "yes"}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_videos(folder, ["a.mp4", "b.mp4"])
    return folder


@pytest.fixture(scope="module")
def processor(tiny_llm: Path) -> VideoLLMProcessor:
    overrides: dict[str, Any] = {"encoder_overrides": TINY_ENCODER, "tokens_per_frame": 4}
    args = ModelArguments(language_model=str(tiny_llm), **overrides)
    return build_processor(args, DialogueArguments(num_frames=4))


def test_a_pair_is_one_prompt_with_two_answers(media: Path) -> None:
    plain = parse_pair("a", {**PAIR, "start": 0.1, "id": 7, "messages": "passed over"}, media)
    assert plain.kind == "video"
    assert plain.media[0].start_seconds == 0.1
    assert plain.rejected is not None
    assert plain.dialogue[:-1] == plain.rejected[:-1]
    assert [turns[-1]["content"] for turns in plain.dialogues] == ["yes", "no"]
    turns = [{"role": "user", "content": "Hm?"}, TURN, {"role": "user", "content": "What?"}]
    longer = {**PAIR, "prompt": turns, "chosen": [TURN], "rejected": [{**TURN, "content": "no"}]}
    assert [len(turns) for turns in parse_pair("a", longer, media).dialogues] == [4, 4]
    text = parse_pair("a", {key: PAIR[key] for key in ("prompt", "chosen", "rejected")}, media)
    assert (text.kind, text.media) == ("text", ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rejected": None}, "no rejected: a pair has prompt, chosen and rejected"),
        ({"prompt": None, "chosen": None}, "no prompt, no chosen: a pair has"),
        ({"chosen": ""}, "an empty answer"),
        ({"rejected": 3}, "rejected is '3'; a text or one assistant turn"),
        ({"rejected": [TURN, TURN]}, "a text or one assistant turn is expected"),
        ({"prompt": [TURN]}, "turns must alternate"),
        ({"prompt": "<video> <video> What?"}, "2 media tags for 1 media"),
        ({"video": "gone.mp4"}, "missing media"),
        ({"prompt": [{"role": "user", "content": "What?", "time": 1}]}, "it has one answer"),
    ],
)
def test_what_is_no_pair_is_told(media: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason.replace("(", r"\(")):
        parse_pair("a", {**PAIR, **change}, media)


def test_pairs_and_dialogues_are_not_mixed_up(media: Path) -> None:
    with pytest.raises(MalformedRecord, match="a list instead of a record"):
        parse_pair("a", [], media)
    with pytest.raises(MalformedRecord, match="it is for dataset: pairs"):
        parse_record("a", PAIR, media)


def test_rows_are_wanted_then_unwanted_answers(processor: VideoLLMProcessor) -> None:
    clip = Clip(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4, dtype=torch.float64))
    ask = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Hm?"}]}
    begin = (ask, {"role": "assistant", "content": "first"}, {"role": "user", "content": "And?"})
    with_video = tuple(
        (*begin, {"role": "assistant", "content": answer}) for answer in ("yes", "not at all")
    )
    words = tuple(
        ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer})
        for answer in ("Ho", "Hum")
    )
    batch = PairCollator(processor=processor)([Example((clip,), with_video), Example((), words)])
    assert batch["pixel_values"].shape[0] == 1
    ends = ["yes<|im_end|>", "Ho<|im_end|>", "not at all<|im_end|>", "Hum<|im_end|>"]
    for row, mask, end in zip(
        batch["input_ids"], batch["completion_mask"].bool(), ends, strict=True
    ):
        assert processor.tokenizer.decode(row[mask]) == end
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    assert max(lengths) == batch["input_ids"].shape[1]
    assert lengths[2] - lengths[0] == len("not at all") - len("yes")


def test_pairs_are_checked_before_a_run(
    media: Path, tiny_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [PAIR, {**PAIR, "video": "b.mp4"}, {**PAIR, "chosen": None}]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    given = ["--data_path", str(tmp_path / "pairs.jsonl"), "--media_folder", str(media)]
    given += ["--language_model", str(tiny_llm), "--encoder_overrides", json.dumps(TINY_ENCODER)]
    assert main(["data", "check", "tiny_dpo", *given, "--output", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().out
    assert f"{tmp_path / 'pairs.jsonl'}:3: no chosen" in told
    page = (tmp_path / "out" / "samples.html").read_text()
    assert "(chosen)" in page
    assert "<mark>no&lt;|im_end|&gt;</mark>" in page


def test_a_stage_takes_its_own_kind_of_data(
    media: Path, tmp_path: Path, tiny_llm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--language_model", str(tiny_llm)]
    pairs = ["--dataset", "pairs", "--data_path", str(media / "pairs.jsonl"), *given]
    told = refusal(capsys, "instruct", "tiny_instruct", tmp_path, *pairs)
    assert "dataset: pairs is for dpo, not for instruct" in told
    capsys.readouterr()
    assert main(["data", "check", "tiny_dpo", "--dataset", "toyworld"]) == 2
    assert "toyworld: dpo learns from pairs of answers" in capsys.readouterr().err
