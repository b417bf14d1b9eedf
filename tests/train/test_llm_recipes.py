"""The recipes of large language models run from end to end, shrunk in nothing but size."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.llm_cost import ANSWER_TOKENS, MODELS, cost_row
from benchmarks.llm_memory import text_config
from tests.tiny import needs_bitsandbytes
from tests.train.runs import TINY_ENCODER, losses, run, write_videos
from videollm.lora import ADAPTER_CONFIG

SMALLER = [
    *["--num_frames", "4", "--per_device_train_batch_size", "2", "--gradient_accumulation_steps"],
    *["1", "--max_steps", "1", "--save_steps", "1", "--use_cpu", "--bf16", "false"],
    *["--dataloader_num_workers", "0", "--dataloader_persistent_workers", "false"],
    *["--dataloader_pin_memory", "false", "--dtype", "float32", "--logging_steps", "1"],
]
SIZES = {"smollm2_1_7b": 1.71, "qwen3_4b": 4.02, "qwen3_8b": 8.19}
"""Billions of weights, as published."""


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a list of LLaVA-Video-178K's form."""
    folder = tmp_path_factory.mktemp("llava_video_178k") / "0_30_s_academic_v0_1"
    write_videos(folder, ["academic_source/a.mp4", "academic_source/b.mp4"])
    records = [
        {
            "id": name,
            "data_source": "0_30_s_academic_v0_1",
            "video": f"academic_source/{name}.mp4",
            "conversations": [
                {"from": "human", "value": "<image>\nPlease provide a description of the video."},
                {"from": "gpt", "value": "Squares count the frames."},
            ],
        }
        for name in "abab"
    ]
    path = folder / "0_30_s_academic_v0_1_cap_processed.json"
    path.write_text(json.dumps(records))
    return path.parents[1]


@pytest.mark.parametrize("key", MODELS)
def test_each_model_is_aligned_and_taught(
    key: str, listed: Path, tmp_path: Path, tiny_llm: Path
) -> None:
    data = ["--data_path", f"{listed}/*/*_cap_processed.json", *SMALLER]
    fresh = ["--encoder", "demo", "--encoder_overrides", json.dumps(TINY_ENCODER)]
    fresh += ["--language_model", str(tiny_llm), "--tokens_per_frame", "4"]
    aligned = run("align", f"align_{key}", tmp_path / "aligned", *data, *fresh)
    model = ["--model", str(aligned)]
    taught = run("instruct", f"instruct_{key}", tmp_path / "lora", *data, *model)
    assert losses(taught).keys() == {1}
    config = json.loads((taught / "adapter" / ADAPTER_CONFIG).read_text())
    assert (config["r"], config["lora_dropout"]) == (64, 0.05)


@needs_bitsandbytes
def test_the_largest_is_taught_in_four_bits(listed: Path, tmp_path: Path, tiny_llm: Path) -> None:
    data = ["--data_path", f"{listed}/*/*_cap_processed.json", *SMALLER, "--tuning", "qlora"]
    fresh = ["--encoder", "demo", "--encoder_overrides", json.dumps(TINY_ENCODER)]
    aligned = run("align", "tiny_align", tmp_path / "a", "--language_model", str(tiny_llm), *fresh)
    taught = run("instruct", "instruct_qwen3_8b", tmp_path / "q", *data, "--model", str(aligned))
    assert losses(taught).keys() == {1}


@pytest.mark.parametrize("key", MODELS)
def test_sizes_are_those_published(key: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(text_config(MODELS[key]))
    assert model.num_parameters() / 1e9 == pytest.approx(SIZES[key], abs=0.005)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_four_bits_take_less_memory_and_a_measured_speed_is_marked() -> None:
    name = "instruct_smollm2_1_7b"
    rows = {tuning: cost_row(name, tuning, {}) for tuning in ("lora", "qlora")}
    parts = [rows[tuning]["parts_gib"] for tuning in ("lora", "qlora")]
    # The linear layers of 1.61 billion weights, from two bytes to about a half.
    assert parts[0]["weights"] - parts[1]["weights"] == pytest.approx(2.22, abs=0.02)
    assert {part for part in parts[0] if parts[0][part] != parts[1][part]} == {"weights", "kept"}
    assert rows["lora"]["source"] == "estimate"
    measured = cost_row(name, "lora", {name: 2 * rows["lora"]["samples_per_second"]})
    assert measured["source"] == "measured"
    assert measured["hours_on_8"] == pytest.approx(rows["lora"]["hours_on_8"] / 2)
    assert ANSWER_TOKENS["align"] > ANSWER_TOKENS["instruct"]
