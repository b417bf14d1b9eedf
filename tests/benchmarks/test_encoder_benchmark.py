"""The encoder's benchmark compares like with like, and its tools measure what they say."""

import json
import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch

from benchmarks import encoder, scan_contenders
from benchmarks.encoder_contenders import stream
from benchmarks.measure import apart, cost_of
from tests.tiny import tiny_encoder
from videollm.encoder import VideoMAPModel

MIB = 1 << 20


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", scan_contenders.RIVALS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_rivals_compute_what_we_compute(name: str, channels_last: bool) -> None:
    inputs = scan_contenders.draw_inputs((2, 37, 9, 5), channels_last=channels_last)
    ours, theirs = (scan_contenders.load_scan(n)(*inputs) for n in ("cpu", name))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_peak_counts_what_was_held_at_once() -> None:
    block = 64 * MIB
    cost = cost_of(lambda: torch.ones(block // 4) + torch.ones(block // 4), max_repeats=1)
    assert 2.9 * block < cost.peak_bytes < 3.3 * block
    assert cost.seconds > 0


def test_streamed_features_are_those_of_the_whole_clip() -> None:
    model = VideoMAPModel(tiny_encoder(scan_mode="frame_causal", attention_window=3))
    model.train(mode=False)
    clip = torch.randn(1, 18, 3, model.config.image_size, model.config.image_size)
    with torch.inference_mode():
        streamed = torch.cat(stream(model, clip), dim=1).flatten(1, 2)
        torch.testing.assert_close(streamed, model(clip).last_hidden_state, rtol=1e-4, atol=1e-5)


def test_a_process_that_dies_is_an_error() -> None:
    with pytest.raises(BrokenProcessPool):
        apart(os._exit, 1)


def test_ratios_and_plot(tmp_path: Path) -> None:
    point = {"frames": 8, "seconds": 2.0, "peak_bytes": 4 * MIB}
    curves = {name: [point] for name in encoder.CONTENDERS}
    curves["streamed"] = [{**point, "seconds": 1.0, "peak_bytes": MIB}]
    assert encoder.ratios_at(curves, 8)["T"] == {"time": 0.5, "memory": 0.25}
    encoder.draw(curves, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_pace_compares_the_dearest_frame_with_the_cheapest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"streamed": {"64": 0.05, "128": 0.06}, "whole": {"64": 0.10, "128": 0.03}}
    asked: list[tuple[int, ...]] = []

    def measure(counts: tuple[int, ...], *, threads: int) -> dict[str, dict[str, float]]:
        asked.append(counts)
        return found

    monkeypatch.setattr(encoder, "measure_pace", measure)
    assert encoder.main(["pace", "--max-frames", "128", "--output", str(tmp_path)]) == 0
    assert asked == [(64, 128)]
    results = json.loads((tmp_path / "encoder_pace.json").read_text())
    assert results["streamed_dearest_over_cheapest"] == pytest.approx(1.2)
    assert results["streamed_throughput_over_whole"] == {"64": 2.0, "128": 0.5}


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        encoder.main(["scans"])
    assert "part scans: choose from scan, streaming, pace, frames" in capsys.readouterr().err
