"""Ray Data as the engine: a local cluster gives the answers of a single process."""

import json
from pathlib import Path

import pytest

from tests.tiny import tiny_videollm
from videollm.eval.batch_answers import main
from videollm.toyworld import make_scene, render_frames, write_clip

pytest.importorskip("ray", reason="Ray is not installed (pip install 'videollm[ray]')")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def test_a_local_cluster_answers_as_one_process(tiny_llm: Path, tmp_path: Path) -> None:
    model, processor = tiny_videollm(tiny_llm)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    for number in range(5):
        clip = render_frames(make_scene("test_iid", number, 0), size=32, num_frames=8)
        write_clip(clip, tmp_path / f"{number}.mp4", fps=4)
    videos = tmp_path / "videos.txt"
    videos.write_text("".join(f"{number}.mp4\n" for number in range(5)) + "gone.mp4\n")
    rows = {}
    for engine in ("here", "ray"):
        output = tmp_path / f"{engine}.jsonl"
        words = [str(videos), "--question", "What?", "--output", str(output), "--engine", engine]
        words += ["--model", str(tmp_path / "model"), "--device", "cpu", "--dtype", "float32"]
        assert main([*words, "--batch-size", "2", "--max-new-tokens", "4"]) == 1
        lines = [json.loads(line) for line in output.read_text().splitlines()]
        rows[engine] = {Path(row["video"]).name: row for row in lines}
    assert rows["ray"] == rows["here"]
    assert len(rows["ray"]) == 6
    assert rows["ray"]["gone.mp4"]["error"]
