"""The memory estimate: against what torch's allocator hands out, and what it refuses."""

import re
from pathlib import Path

import pytest
import torch

from benchmarks.encoder_memory import compare, peak_bytes
from tests.tiny import tiny_encoder
from videollm.encoder import VideoMAPModel, demo_config, large_config
from videollm.encoder.scan_cpu import cpu_scan_problem


@pytest.fixture
def compiled_scan() -> None:
    """Skip where the scan runs in plain PyTorch, which the estimate does not cover."""
    if problem := cpu_scan_problem():
        pytest.skip(problem)


def model_of(**overrides: object) -> VideoMAPModel:
    return VideoMAPModel(demo_config(hidden_size=96, **overrides))


@pytest.mark.usefixtures("compiled_scan")
@pytest.mark.parametrize("way", ["whole", "chunks", "training", "checkpointing"])
@pytest.mark.parametrize("pattern", ["MMMMT", "M", "T", "TM"])
def test_estimate_is_near_what_a_frame_causal_model_takes(pattern: str, way: str) -> None:
    model = model_of(layer_pattern=pattern, attention_window=4)
    estimated, measured = compare(model, torch.randn(1, 16, 3, 64, 64), way)
    assert 0.85 < estimated / measured < 1.15


@pytest.mark.usefixtures("compiled_scan")
@pytest.mark.parametrize("way", ["whole", "training", "checkpointing"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_estimate_is_near_what_a_bidirectional_model_takes(dtype: torch.dtype, way: str) -> None:
    model = model_of(scan_mode="bidirectional").to(dtype)
    estimated, measured = compare(model, torch.randn(2, 16, 3, 64, 64).to(dtype), way)
    assert 0.85 < estimated / measured < 1.15


def test_estimate_follows_a_stream_of_single_frames() -> None:
    model = model_of(tubelet_size=1, layer_pattern="T", attention_window=16)
    estimated, measured = compare(model, torch.randn(1, 4, 3, 64, 64), "chunks")
    assert 0.85 < estimated / measured < 1.15


@pytest.mark.usefixtures("compiled_scan")
def test_checkpointing_saves_what_the_estimate_says() -> None:
    model, clip = model_of(num_layers=10), torch.randn(1, 8, 3, 64, 64)
    plain, checkpointed = (compare(model, clip, way) for way in ("training", "checkpointing"))
    assert checkpointed[1] < plain[1] / 3
    saved = plain[0] - checkpointed[0]
    assert saved == pytest.approx(plain[1] - checkpointed[1], rel=0.15)


def test_peak_counts_live_bytes_alone() -> None:
    def steps() -> None:
        for _ in range(5):
            torch.empty(1 << 20, dtype=torch.uint8)
        kept = torch.empty(3 << 20, dtype=torch.uint8)
        torch.empty(1 << 20, dtype=torch.uint8)
        assert kept.numel()

    assert peak_bytes(steps, torch.device("cpu")) == 4 << 20


def test_parts_are_those_of_the_model() -> None:
    model = VideoMAPModel(tiny_encoder(scan_mode="frame_causal")).bfloat16().eval()
    clip = torch.zeros(2, 9, 3, 16, 24, dtype=torch.bfloat16)
    estimate = model.estimate_memory(9, height=16, width=24, batch_size=2, chunk_frames=2)
    with torch.no_grad():
        _, state = model.encode(clip)
    assert estimate.weight_bytes == sum(weight.nbytes for weight in model.parameters())
    assert estimate.input_bytes == clip.nbytes
    assert estimate.state_bytes == state.nbytes
    assert estimate.gradient_bytes == 0
    assert estimate.total_bytes == (
        estimate.weight_bytes
        + estimate.input_bytes
        + estimate.state_bytes
        + estimate.activation_bytes
    )
    assert model.estimate_memory(9, training=True).gradient_bytes == estimate.weight_bytes
    wide = model.estimate_memory(9, height=16, width=24, batch_size=2, dtype=torch.float32)
    assert wide.weight_bytes == 2 * estimate.weight_bytes


def test_chunks_bound_all_but_the_clip_and_its_features() -> None:
    model = VideoMAPModel(tiny_encoder(scan_mode="frame_causal"))
    short, long = (model.estimate_memory(frames, chunk_frames=8) for frames in (80, 8000))
    features = (8000 - 80) * 4 * 16 * 4
    assert long.activation_bytes - short.activation_bytes == features
    assert long.state_bytes == short.state_bytes


def test_a_model_without_memory_can_be_planned() -> None:
    with torch.device("meta"):
        model = VideoMAPModel(large_config(scan_mode="frame_causal"))
    whole, chunked = (model.estimate_memory(512, chunk_frames=size) for size in (None, 32))
    assert chunked.activation_bytes < whole.activation_bytes / 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_frames": -4}, "clip has -4 frames; .* a positive multiple of 2"),
        ({"num_frames": 3}, "clip has 3 frames"),
        ({"batch_size": 0}, "0 clips; give at least 1"),
        ({"height": 20}, "20 x 16; both sides must be positive multiples"),
        ({"width": -8}, "16 x -8; both sides must be positive multiples"),
        ({"chunk_frames": 3}, "chunk_frames is 3; it must be a positive multiple .* size 2"),
        ({"chunk_frames": 2, "training": True}, "training reads whole clips"),
        ({"gradient_checkpointing": True}, "it needs training"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(arguments: dict[str, int], message: str) -> None:
    model = VideoMAPModel(tiny_encoder(scan_mode="frame_causal", tubelet_size=2))
    with pytest.raises(ValueError, match=message):
        model.estimate_memory(**{"num_frames": 4, **arguments})


def test_chunks_of_a_bidirectional_model_are_refused() -> None:
    with pytest.raises(ValueError, match="only 'frame_causal'"):
        VideoMAPModel(tiny_encoder()).estimate_memory(8, chunk_frames=4)


def test_the_guide_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    guide = (Path(__file__).parents[2] / "docs/encoder.md").read_text()
    found = re.search(
        r"```python\n([^`]*estimate_memory[^`]*)```\n\n```text\n(.*?)```", guide, re.S
    )
    assert found is not None
    code, printed = found.groups()
    exec(code, {})
    assert capsys.readouterr().out == printed
