"""Checking data before a run, and a user's own folder from the words of the guide alone."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.train.runs import QUIET, TINY_ENCODER, losses, refusal, weights, write_videos
from videollm.cli import main
from videollm.train.arguments import EncoderArguments, ModelArguments
from videollm.train.building import build_encoder, build_processor, build_videollm
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.examples import BAD_SAMPLES_FILE
from videollm.train.stage import Run
from videollm.train.stage_arguments import StageArguments

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
TURNS = [{"from": "human", "value": "<video>\nWhat?"}, {"from": "gpt", "value": "the <answer>"}]


@pytest.fixture
def small(tiny_llm: Path) -> list[str]:
    """Return what makes a recipe's model the smallest."""
    encoder = json.dumps(TINY_ENCODER)
    return [
        *("--encoder_overrides", encoder, "--language_model", str(tiny_llm)),
        *("--tokens_per_frame", "4", "--num_frames", "4"),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of media with a list of three kinds of records, two of twelve bad."""
    write_videos(tmp_path, ["a.mp4", "b.mp4"])
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    (tmp_path / "torn.mp4").write_text("not a video")
    records: list[dict[str, Any]] = [
        *({"video": name, "conversations": TURNS} for name in ("a.mp4", "b.mp4") * 4),
        {"image": "p.png", "conversations": TURNS},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
        {"video": "gone.mp4", "conversations": TURNS},
        {"video": "torn.mp4", "conversations": TURNS},
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, records)))
    return tmp_path


def check(folder: Path, small: list[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    mixture = {"own": {"data_path": str(folder / "own.jsonl")}, "toy": {"num_clips": 4}}
    given = ["tiny_instruct", "--mixture", json.dumps(mixture), "--output", str(folder / "out")]
    code = main(["data", "check", *given, *small, *arguments])
    return code, json.loads((folder / "out" / "check.json").read_text())


def test_counts_lengths_and_samples_are_reported(
    folder: Path, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, summary = check(folder, small, "--max_bad", "20%")
    told = capsys.readouterr().out
    own, toy = summary["data_sets"]
    assert (code, summary["bad"], summary["checked"], summary["passes"]) == (0, 2, 12, True)
    assert own["kinds"] == {"video": 8, "image": 1, "text": 1}
    assert (own["listed"], own["usable"], own["missing_media"], own["drawn_in_a_pass"]) == (
        *(12, 10, 1, 11),
    )
    assert toy["kinds"] == {"scene": 4}
    assert 0 < summary["tokens"]["shortest"] < summary["tokens"]["longest"] < 2048
    output = folder / "out"
    assert (output / "missing_media.txt").read_text() == (
        f"{folder / 'own.jsonl'}:11: {folder / 'gone.mp4'}\n"
    )
    bad = [json.loads(line) for line in (output / BAD_SAMPLES_FILE).read_text().splitlines()]
    assert [item["sample"] for item in bad] == [f"{folder / 'own.jsonl'}:{n}" for n in (11, 12)]
    assert f"{folder / 'own.jsonl'}:12: {folder / 'torn.mp4'}" in told
    assert "2 of 12 samples are bad; max_bad = 0.2: within it" in told
    with Image.open(output / "lengths.png") as picture:
        assert picture.format == "PNG"
    page = (output / "samples.html").read_text()
    assert page.count("<h2>") == 5
    assert "<mark>the &lt;answer&gt;&lt;|im_end|&gt;</mark>" in page
    assert "<mark>Ho&lt;|im_end|&gt;</mark>" in page
    assert "[8 visual]" in page
    assert "the first of 3 dialogues" in page


def test_too_many_bad_samples_are_exit_code_1(folder: Path, small: list[str]) -> None:
    code, summary = check(folder, small, "--max_bad", "0.1", "--probe", "0")
    assert (code, summary["bad"], summary["passes"]) == (0, 1, True)
    code, summary = check(folder, small, "--max_bad", "0.1", "--decode")
    assert (code, summary["bad"], summary["passes"]) == (1, 2, False)
    assert summary["tokens"]["exact"]


def test_what_is_estimated_is_close_to_what_is_counted(folder: Path, small: list[str]) -> None:
    loose = ["--max_bad", "1"]
    estimated = check(folder, small, *loose)[1]["tokens"]
    counted = check(folder, small, *loose, "--decode")[1]["tokens"]
    for name in ("shortest", "median", "longest"):
        assert abs(estimated[name] - counted[name]) <= 2


def test_too_long_samples_are_named(
    folder: Path, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, summary = check(folder, small, "--max_bad", "0.1", "--max_length", "90")
    # All but the record of text alone.
    assert (code, summary["bad"]) == (1, 11)
    assert re.search(
        r"own.jsonl:1: about \d+ tokens, more than max_length = 90", capsys.readouterr().out
    )


def test_nothing_usable_is_exit_code_1(folder: Path, small: list[str]) -> None:
    (folder / "own.jsonl").write_text("")
    assert check(folder, small, "--max_bad", "1")[0] == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "data: the following arguments are required"),
        (["look"], "data: argument action: invalid choice: 'look'"),
        (["check"], "no recipe given: videollm data check RECIPE"),
        (["check", "gone"], "recipe gone: no such file"),
        (["check", "tiny_pretrain"], "tiny_pretrain: a recipe for pretrain; data check is for"),
        (["check", "tiny_instruct", "--data_paht", "x"], "unknown key 'data_paht'"),
        (["check", "tiny_instruct", "--dataset", "videos", "--data_path", "x"], "have no text"),
        (["check", "tiny_instruct", "--dataset", "llava", "--data_path", "gone.json"],
         "data_path: gone.json: cannot be read"),
    ],
)  # fmt: skip
def test_a_check_that_cannot_be_made_is_one_line(
    words: list[str],
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    small: list[str],
) -> None:
    given = [*words, *small, "--output", str(tmp_path)] if len(words) > 1 else words
    assert main(["data", *given]) == 2
    told = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    assert len(told) == 1
    assert line in told[0]


def test_a_run_ends_where_more_is_bad_than_allowed(
    folder: Path, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--dataset", "llava", "--data_path", str(folder / "own.jsonl")]
    line = refusal(
        *(capsys, "instruct", "tiny_instruct", tmp_path / "run"),
        *(*small, *data, "--max_bad", "1%"),
    )
    assert f"own.jsonl:11: missing media {folder / 'gone.mp4'}" in line
    assert "1 of 12 samples are bad, more than the share max_bad = 0.01" in line
    line = refusal(
        *(capsys, "instruct", "tiny_instruct", tmp_path / "run"),
        *(*small, *data, "--max_bad", "0.5", "--max_length", "60"),
    )
    assert "7 of 12 samples are bad" in line
    bad = (tmp_path / "run" / BAD_SAMPLES_FILE).read_text()
    assert len(re.findall(r'"reason": "\d+ tokens, more than max_length = 60: ', bad)) == 6
    mixture = ["--mixture", '{"a": {"data_path": "x"}}', "--objective", "words"]
    line = refusal(capsys, "align", "tiny_align", tmp_path / "run", *small, *mixture)
    assert "objective: words knows the toy world only, not a mixture" in line


@pytest.mark.parametrize("preset", [True, False])
def test_the_check_counts_with_the_processor_of_the_run(
    preset: bool, tiny_llm: Path, tmp_path: Path
) -> None:
    fields: dict[str, Any] = {"encoder_overrides": {**TINY_ENCODER, "tubelet_size": 2}}
    data = DialogueArguments(num_frames=6)
    if not preset:
        build_encoder(EncoderArguments(**fields)).save_pretrained(tmp_path / "encoder")
        fields = {"encoder": str(tmp_path / "encoder")}
    model = ModelArguments(**fields, language_model=str(tiny_llm), tokens_per_frame=4)
    args = StageArguments(output_dir=str(tmp_path), use_cpu=True)
    run = Run(stage="instruct", args=args, values={}, checkpoint=None)
    built, processor = build_videollm(run, model, data)
    assert build_processor(model, data).to_dict() == processor.to_dict()
    built.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    again = build_processor(ModelArguments(model=str(tmp_path / "model")), data)
    for name in ("image_size", "tubelet_size", "tokens_per_frame", "num_frames"):
        assert getattr(again, name) == getattr(processor, name)


def guide_blocks() -> dict[str, str]:
    """Return the blocks of the guide's section on own data, the first of each language."""
    text = GUIDE.read_text().partition("## Your own data")[2].partition("\n### ")[0]
    return dict(reversed(re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)))


def test_a_folder_of_own_clips_trains_by_the_words_of_the_guide(
    shared: Path, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = guide_blocks()
    pattern = json.loads(blocks["json"])
    videos = [*(shared / "videos").glob("*.mp4"), *(shared / "videos").glob("*.webm")]
    whole = [path for path in videos if "corrupted" not in path.name]
    clips = sorted(whole, key=lambda path: path.stat().st_size)[:10]
    assert len(clips) == 10
    (tmp_path / "clips").mkdir()
    lines = []
    for path in clips:
        shutil.copy(path, tmp_path / "clips")
        turns = [dict(turn) for turn in pattern["conversations"]]
        turns[1]["value"] = f"This is {path.stem}."
        lines.append(json.dumps({"video": f"clips/{path.name}", "conversations": turns}))
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    recipe = blocks["yaml"]
    (tmp_path / "mine.yaml").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    # The smallest model in the place of the demo, which is too large for a test.
    (tmp_path / "mine.yaml").write_text(recipe.replace("model: demo\n", ""))
    commands = [line.split()[1:] for line in blocks["bash"].splitlines() if "mine.yaml" in line]
    assert [words[0] for words in commands] == ["data", "instruct"]
    assert main([*commands[0], *small]) == 0
    summary = json.loads((tmp_path / "runs/mine/data_check/check.json").read_text())
    assert summary["data_sets"][0]["usable"] == 10
    quick = ["--max_steps", "2", "--logging_steps", "1", *QUIET]
    assert main([*commands[1], *small, *quick]) == 0
    assert losses(tmp_path / "runs/mine").keys() == {1, 2}
    assert weights(tmp_path / "runs/mine/adapter")
    assert not (tmp_path / "runs/mine" / BAD_SAMPLES_FILE).exists()
