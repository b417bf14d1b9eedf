"""Bad input to pretraining and classification: one clear line that names the entry."""

import json
import shutil
from pathlib import Path

import pytest

from tests.train.runs import QUIET, encoder_with, losses, refusal, run, write_videos
from videollm.train import classify
from videollm.train.examples import BAD_SAMPLES_FILE

TRAINED = ["--encoder_overrides", "{}"]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run("pretrain", "tiny_pretrain", tmp_path_factory.mktemp("input") / "pretrain")


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Return a list of four videos of two classes."""
    write_videos(tmp_path, [f"{name}.mp4" for name in "abcd"])
    path = tmp_path / "list.csv"
    path.write_text("a.mp4,0\nb.mp4,1\nc.mp4,0\nd.mp4,1\n")
    return path


def lists(learn: Path, test: Path) -> list[str]:
    given = ["--dataset", "videos", "--data_path", str(learn), "--validation_path", str(test)]
    return [*given, "--per_device_train_batch_size", "2"]


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ("a.mp4,0\nb.mp4,0\n", "every label is '0'; classification needs two classes or more"),
        ("a.mp4,0\nb.mp4,-1\n", "list.csv:2: label -1 is outside 0..0"),
        ("a.mp4,0\nb.mp4\n", "list.csv:2: no label; write path,label"),
        ("a.mp4,0\nb.mp4,cat\n", "list.csv:2 has the class name 'cat'"),
        ("a.mp4,0\nb.mp4,1\na.mp4,1\n", "give {folder}/a.mp4 the labels '0' and '1'"),
        ("a.mp4,0\ngone.mp4,1\n", "1 of 2 samples are bad, more than the share max_bad = 0.05; the "
         "first: {folder}/list.csv:2: {folder}/gone.mp4: missing"),
    ],
)  # fmt: skip
def test_a_bad_list_is_refused_by_its_line(
    rows: str, line: str, listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good.csv"
    shutil.copy(listed, good)
    listed.write_text(rows)
    found = refusal(capsys, "classify", "tiny_classify", tmp_path / "out", *lists(listed, good))
    assert line.format(folder=tmp_path) in found


def test_a_bad_test_list_is_refused_before_training(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = tmp_path / "test.csv"
    test.write_text("a.mp4,0\nb.mp4,2\n")
    found = refusal(capsys, "classify", "tiny_classify", tmp_path / "out", *lists(listed, test))
    assert f"{test}:2: label 2 is outside 0..1" in found
    found = refusal(
        *(capsys, "classify", "tiny_classify", tmp_path / "out"),
        *lists(listed, tmp_path / "gone.csv"),
    )
    assert f"{tmp_path / 'gone.csv'}: no such file or folder" in found
    test.write_text("a.mp4,0\nb.mp4,1\ngone.mp4,1\n")
    found = refusal(capsys, "classify", "tiny_classify", tmp_path / "out", *lists(listed, test))
    assert "1 of 3 videos to be tested on are missing" in found
    assert f"the first: {test}:3: {tmp_path / 'gone.mp4'}" in found


def test_a_part_beyond_the_end_is_a_bad_sample_and_not_tested(listed: Path, tmp_path: Path) -> None:
    rows = listed.read_text().replace("\n", ",,\n")
    listed.write_text(f"{rows}a.mp4,1,7,8\nb.mp4,1,0,0.1\n")
    folder = run(
        *("classify", "tiny_classify", tmp_path / "out", *lists(listed, listed)),
        *("--max_bad", "0.2", "--max_steps", "3"),
    )
    records = [json.loads(line) for line in (folder / BAD_SAMPLES_FILE).read_text().splitlines()]
    assert [record["sample"] for record in records] == [f"{listed}:5"]
    assert "start_seconds is 7" in records[0]["reason"]
    told = json.loads((folder / "test" / "results.json").read_text())
    assert told["unreadable"] == [f"{listed}:5"]
    assert told["num_videos"] == 5


def test_an_encoder_that_is_none_or_of_another_size_is_refused(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def line(encoder: Path, *arguments: str) -> str:
        given = ["--encoder", str(encoder), *TRAINED, *arguments]
        return refusal(capsys, "classify", "tiny_classify", tmp_path / "out", *given)

    assert "a model of type 'videomap_pretraining', not an encoder" in line(
        pretrained / "checkpoint-2"
    )
    wider = tmp_path / "wider"
    shutil.copytree(pretrained / "encoder", wider)
    config = json.loads((wider / "config.json").read_text())
    (wider / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    assert f"encoder: {wider}: " in line(wider)
    (wider / "config.json").write_text(json.dumps({**config, "num_layers": 4}))
    assert f"encoder: {wider} lacks" in line(wider)
    (wider / "config.json").write_text(json.dumps(config))
    (wider / "model.safetensors").write_bytes(b"torn")
    assert f"encoder: {wider}: " in line(wider)
    given = ["--encoder_overrides", '{"image_size": 64, "drop_path_rate": 0.1}']
    assert "encoder_overrides: image_size: a trained encoder has its own config" in line(
        pretrained / "encoder", *given
    )
    assert "drop_path_rate" in line(
        pretrained / "encoder", "--encoder_overrides", '{"drop_path_rate": 2}'
    )
    assert "num_frames: 5 given; the encoder needs a multiple of 2" in line(
        pretrained / "encoder", "--num_frames", "5"
    )
    assert classify.main(["tiny_classify", "--evaluate", str(pretrained / "encoder"), *QUIET]) == 2
    assert "lacks 2 weights of a VideoMAPForVideoClassification" in capsys.readouterr().err


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_trained_encoder_takes_clips_of_another_length(position: str, tmp_path: Path) -> None:
    mode = {"learned": "bidirectional", "rotary": "frame_causal"}[position]
    fields = encoder_with(scan_mode=mode, temporal_position=position, num_frames=4)
    folder = run("pretrain", "tiny_pretrain", tmp_path / "a", *fields, "--max_steps", "1")
    start = ["--encoder", str(folder / "encoder"), *TRAINED, "--num_frames", "8"]
    longer = run("pretrain", "tiny_pretrain", tmp_path / "b", *start, "--max_steps", "1")
    assert losses(longer).keys() == {1}


def test_the_folder_of_another_stage_is_not_gone_on_with(
    pretrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in pretrained.iterdir())
    found = refusal(capsys, "classify", "tiny_classify", pretrained)
    assert f"output_dir: {pretrained} holds a run of pretrain, not of classify" in found
    assert sorted(path.name for path in pretrained.iterdir()) == before
