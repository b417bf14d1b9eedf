"""The benchmark of the input pipeline reads the same frames on both sides."""

from pathlib import Path

import pytest

from benchmarks import input_pipeline

NUM_FRAMES = 4


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    for number in range(2):
        path = folder / f"{number}.mp4"
        input_pipeline.draw_clip(path, seconds=0.4, seed=number, height=48, width=64)
    return folder


def test_bare_decoding_finds_the_frames_that_the_loader_takes(videos: Path) -> None:
    wanted = input_pipeline.wanted_frames(videos, NUM_FRAMES)
    assert [Path(path).name for path, _ in wanted] == ["0.mp4", "1.mp4"]
    for path, times in wanted:
        assert len(set(times)) == NUM_FRAMES
        assert input_pipeline.decode_bare((path, times)) == NUM_FRAMES
        assert input_pipeline.decode_bare((path, [*times, 99.0])) == NUM_FRAMES


def test_both_sides_are_measured(videos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = input_pipeline.measure(videos, num_frames=NUM_FRAMES, workers=1, rounds=1)
    assert found["videos"] == 2
    assert set(found["ratio_to_bare"]) == {"pretrain", "finetune"}
    speeds = found["clips_per_second"]
    for kind, ratio in found["ratio_to_bare"].items():
        assert ratio == pytest.approx(speeds[kind] / speeds["bare"])
        assert ratio > 0
    assert "of bare" in capfd.readouterr().out
