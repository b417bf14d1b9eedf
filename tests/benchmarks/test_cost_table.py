"""Counted operations are those that run; the cost table follows from recipes and speeds."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import cost_table
from benchmarks.encoder_flops import encoder_flops, pretraining_flops, vit_flops
from tests.tiny import tiny_encoder
from videollm.encoder import VideoMAPForPreTraining, VideoMAPModel, VideoMAPPreTrainingConfig
from videollm.encoder.masking import random_visible

FRAMES = 6


def counted(model: torch.nn.Module, **inputs: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.train(mode=False)(**inputs)
    return float(counter.get_total_flops())


@pytest.mark.parametrize("mode", ["bidirectional", "frame_causal"])
@pytest.mark.parametrize("keep", [1.0, 0.5])
def test_transformer_layers_are_counted_as_they_run(mode: str, keep: float) -> None:
    window = {"attention_window": 2} if mode == "frame_causal" else {}
    config = tiny_encoder(layer_pattern="T", scan_mode=mode, **window)
    config._attn_implementation = "eager"
    clip = torch.randn(1, FRAMES, 3, config.image_size, config.image_size)
    steps = FRAMES // config.tubelet_size
    visible = random_visible(1, steps, config.grid_size**2, keep, torch.Generator())
    ran = counted(VideoMAPModel(config), pixel_values=clip, visible=visible)
    assert encoder_flops(config, num_frames=FRAMES, keep=keep) == ran


def test_maps_of_mamba_layers_are_counted_as_they_run() -> None:
    config = tiny_encoder(layer_pattern="M")
    clip = torch.randn(1, FRAMES, 3, config.image_size, config.image_size)
    tokens = FRAMES // config.tubelet_size * config.grid_size**2
    # The counter knows neither convolution nor scan nor the step's map without its bias.
    unseen = 2 * config.inner_size * (2 * config.conv_kernel + 9 * config.state_size)
    unseen *= tokens * config.num_layers
    ran = counted(VideoMAPModel(config), pixel_values=clip)
    assert encoder_flops(config, num_frames=FRAMES) == pytest.approx(ran + unseen, rel=1e-9)


def test_the_decoder_is_counted_as_it_runs() -> None:
    encoder = tiny_encoder(layer_pattern="T", scan_mode="frame_causal", attention_window=2)
    encoder._attn_implementation = "eager"
    config = VideoMAPPreTrainingConfig(
        encoder_config=encoder,
        target_type="features",
        target_dim=10,
        decoder_layers=2,
        decoder_hidden_size=16,
        decoder_attention_heads=2,
        alignment_weight=0.0,
    )
    clip = torch.randn(1, FRAMES, 3, encoder.image_size, encoder.image_size)
    steps = FRAMES // encoder.tubelet_size
    visible = random_visible(1, steps, encoder.grid_size**2, 0.5, torch.Generator())
    targets = torch.randn(1, steps, encoder.grid_size**2, 10)
    model = VideoMAPForPreTraining(config)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        ran = counted(model, pixel_values=clip, visible=visible, targets=targets)
    found = pretraining_flops(config, num_frames=FRAMES, keep=0.5, teacher_flops=1000.0)
    assert found == pytest.approx(3 * ran + FRAMES * 1000, rel=1e-9)


def test_the_teacher_has_the_published_cost() -> None:
    """CLIP's ViT-B/16 is a ViT-B/16, which is 17.6 GFLOPs as the ViT literature counts (MACs)."""
    flops = vit_flops(width=768, num_layers=12, image_size=224, patch_size=16)
    assert flops / 2 == pytest.approx(17.6e9, rel=0.02)


def test_a_row_follows_from_speed_and_epochs() -> None:
    row = cost_table.cost_row("finetune_k400", clips_per_second=100.0, source="measured")
    assert row["clips"] == 45 * 2 * cost_table.NUM_SAMPLES["finetune_k400"]
    assert row["device_days"] == pytest.approx(row["clips"] / 100 / 86400)
    assert row["hours_on_8"] == pytest.approx(row["device_days"] * 3)


def test_every_full_scale_recipe_has_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = tmp_path / "speed.json"
    measured.write_text(json.dumps({"clips_per_second": {"finetune_coin": 12.5}}))
    arguments = ["--measured", str(measured), "--speed", "finetune_ssv2=40"]
    assert cost_table.main([*arguments, "--output", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert table.count("estimate") == len(cost_table.NUM_SAMPLES) - 2
    rows = json.loads((tmp_path / "cost_table.json").read_text())["rows"]
    by_name = {row["recipe"]: row for row in rows}
    assert list(by_name) == list(cost_table.NUM_SAMPLES)
    assert by_name["finetune_coin"]["clips_per_second"] == 12.5
    assert by_name["finetune_ssv2"]["source"] == "measured"


@pytest.mark.parametrize("given", ["finetune_k400", "nothing=3", "finetune_k400=0"])
def test_bad_speeds_are_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cost_table.main(["--speed", given])
    assert "RECIPE=CLIPS_PER_SECOND" in capsys.readouterr().err
