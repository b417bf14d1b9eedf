"""`videollm convert`: what it writes and prints, and one line for every mistake."""

import argparse
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForVideoClassification

from tests.videomamba import draw_checkpoint, official_logits
from videollm.cli import main
from videollm.convert import convert_videomamba_file, read_weights
from videollm.encoder import VideoMAPForVideoClassification, VideoMAPModel
from videollm.errors import ModelError


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return the file of a classifier as training saves it."""
    path = tmp_path / "videomamba.pth"
    torch.save({"model": draw_checkpoint(depth=5), "args": argparse.Namespace(lr=1e-4)}, path)
    return path


def convert(*words: object) -> int:
    return main(["convert", "videomamba", *map(str, words)])


@pytest.mark.parametrize("pattern", ["M", "MMMMT"])
def test_the_folder_loads_and_scores_as_before(
    checkpoint: Path, tmp_path: Path, pattern: str
) -> None:
    output = tmp_path / "deep" / "out"
    assert convert(checkpoint, output, "--layer-pattern", pattern) == 0
    model = VideoMAPForVideoClassification.from_pretrained(output)
    assert model.config.layer_kinds == {"M": "MMMMM", "MMMMT": "MMMMTM"}[pattern]
    video = torch.randn(2, 3, 3, 8, 8)
    expected = official_logits(read_weights(checkpoint), video)
    with torch.no_grad():
        torch.testing.assert_close(model(video).logits, expected, atol=1e-4, rtol=1e-4)
        tokens = VideoMAPModel.from_pretrained(output)(video).last_hidden_state
        assert torch.equal(model.head(tokens[:, 0]), model(video).logits)
    assert isinstance(AutoModelForVideoClassification.from_pretrained(output), type(model))


def test_an_encoder_without_a_head_is_a_plain_model(tmp_path: Path) -> None:
    save_file(draw_checkpoint(teacher_width=6), tmp_path / "in.safetensors")
    assert convert(tmp_path / "in.safetensors", tmp_path / "out") == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["VideoMAPModel"]


def test_a_converted_folder_can_stream(checkpoint: Path, tmp_path: Path) -> None:
    assert convert(checkpoint, tmp_path / "out", "--layer-pattern", "MMMMT") == 0
    model = VideoMAPModel.from_pretrained(
        tmp_path / "out",
        scan_mode="frame_causal",
        attention_window=8,
        temporal_position="rotary",
        use_cls_token=False,
    )
    published = read_weights(checkpoint)
    with torch.no_grad():
        features, state = model.encode(torch.randn(1, 2, 3, 8, 8))
    assert features.shape == (1, 2, 4, 16)
    assert state.frames_seen == 2
    assert torch.equal(
        model.layers[5].mixer.in_proj.weight, published["layers.4.mixer.in_proj.weight"]
    )


def test_the_table_counts_every_key(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--layer-pattern", "MMMMT", "--image-size", 12, "--num-frames", 6)
    assert convert(checkpoint, tmp_path / "out", *options) == 0
    table, _, summary = capsys.readouterr().out.rstrip().partition("\n\n")
    assert summary == (
        f"91 mapped, 2 interpolated, 10 new, 0 dropped; "
        f"VideoMAPForVideoClassification in {tmp_path / 'out'}"
    )
    head, *rows = (line.split() for line in table.splitlines())
    assert head == ["status", "keys", "from", "to", "shape", "note"]
    assert sum(int(row[1]) for row in rows) == 103
    assert "interpolated  1     pos_embed " in table
    (scan,) = (row for row in rows if row[2] == "layers.*.mixer.A_b_log")
    assert scan == [
        *("mapped", "5", "layers.*.mixer.A_b_log"),
        *("encoder.layers.*.mixer.backward_scan.A_log", "32", "x", "3"),
    ]


def test_json_names_every_key(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(checkpoint, tmp_path / "out", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"] == "VideoMAPForVideoClassification"
    assert report["counts"] == {"mapped": 93, "interpolated": 0, "new": 0, "dropped": 0}
    assert {key["source"] for key in report["keys"]} == set(read_weights(checkpoint))
    assert report["keys"][0] == {
        "status": "mapped",
        "source": "cls_token",
        "target": "encoder.cls_token",
        "shape": [1, 1, 16],
        "note": "its row of pos_embed added",
    }


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "videomamba", "--help"]) == 0
    assert "Example: videollm convert videomamba" in capsys.readouterr().out


class Trap:
    """Creates a file where a reader runs what a pickle asks for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[type[Path], tuple[str]]:
        return (_spring, (str(self.path),))


def _spring(path: str) -> None:
    Path(path).touch()


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    torch.save({"model": Trap(sprung)}, tmp_path / "trap.pth")
    with pytest.raises(ModelError, match="holds objects that could run code"):
        read_weights(tmp_path / "trap.pth")
    assert not sprung.exists()
    torch.load(tmp_path / "trap.pth", weights_only=False)
    assert sprung.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"no checkpoint\n" * 9, pickle.dumps({"a": 1}), b"PK\x03\x04", b"\x80\x02."],
    ids=["empty", "text", "pickle", "zip", "broken pickle"],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"file{suffix}"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="damaged, no checkpoint"):
        read_weights(file)


@pytest.mark.parametrize("mistake", ["missing", "folder", "layout", "plain", "pattern"])
def test_a_mistake_is_one_line_and_leaves_nothing(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mistake: str
) -> None:
    weights = draw_checkpoint()
    del weights["cls_token"]
    torch.save(weights, tmp_path / "layout.pth")
    torch.save({"epoch": 3}, tmp_path / "plain.pth")
    words, message = {
        "missing": ([tmp_path / "nowhere.pth"], "nowhere.pth: no such file"),
        "folder": ([tmp_path], "is a folder"),
        "layout": ([tmp_path / "layout.pth"], "missing: cls_token; unexpected: none"),
        "plain": ([tmp_path / "plain.pth"], "'epoch' is a int where a state dict has a tensor"),
        "pattern": ([checkpoint, "--layer-pattern", "T"], "layer_pattern is 'T'"),
    }[mistake]
    before = sorted(tmp_path.iterdir())
    assert convert(words[0], tmp_path / "out", *words[1:]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_folder_is_left_alone(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    assert convert(checkpoint, output) == 0
    written = {path.name: path.read_bytes() for path in output.iterdir()}
    assert convert(checkpoint, output, "--layer-pattern", "MMMMT") == 2
    assert "is not empty: choose another folder" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in output.iterdir()} == written
    assert convert(checkpoint, checkpoint) == 2
    assert "is a file: name a folder" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save_pretrained(model: VideoMAPModel, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(VideoMAPForVideoClassification, "save_pretrained", save_pretrained)
    with pytest.raises(ModelError, match="cannot be written .*No space left"):
        convert_videomamba_file(checkpoint, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]
