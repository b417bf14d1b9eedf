"""The memory benchmark on a small video of two minutes."""

import json
from pathlib import Path

import pytest

from benchmarks import stream_memory
from videollm.video import VideoReader


@pytest.mark.slow
def test_two_small_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_memory, "HEIGHT", 96)
    monkeypatch.setattr(stream_memory, "WIDTH", 160)
    folders = ["--cache", str(tmp_path), "--output", str(tmp_path)]
    assert stream_memory.main(["--seconds", "120", "--fps", "1", *folders]) == 0
    results = json.loads((tmp_path / "stream_memory.json").read_text())
    for name in ("reader", "live"):
        assert results[name]["frames"] == 120
        assert results[name]["last_media_seconds"] == 119
        assert results[name]["growth_mib"] < stream_memory.MAX_GROWTH_MIB
    with VideoReader.open(tmp_path / "120s.mp4") as reader:
        first, second = reader.read([30.0]).frames, reader.read([90.0]).frames
    assert first.shape == (1, 3, 96, 160)
    assert bool((first == second).all())


def test_a_video_under_a_minute_is_refused() -> None:
    watch = stream_memory.Watch()
    watch.see(59.0, 1)
    with pytest.raises(ValueError, match="ends before 60"):
        watch.results()
