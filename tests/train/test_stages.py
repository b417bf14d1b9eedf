"""Every stage runs from its recipes, and a run that stopped goes on as if it had not."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from tests.train.runs import (
    assert_same,
    encoder_with,
    killed_at,
    losses,
    run,
    weights,
)
from tests.videollm.drawn import draw_video, numbered_frames
from videollm.encoder import VideoMAPModel
from videollm.loading import load_model
from videollm.lora import load_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.train import align
from videollm.train.callbacks import read_metrics
from videollm.train.checkpoints import MARKER
from videollm.train.recipe import RECIPE_FILE

STAGES = ("pretrain", "align", "instruct")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> dict[str, Path]:
    """Run the three tiny recipes one after the other and return their folders."""
    root = tmp_path_factory.mktemp("stages")
    folders = {stage: root / stage for stage in STAGES}
    run("pretrain", "tiny_pretrain", folders["pretrain"])
    overrides = ["--encoder", str(folders["pretrain"] / "encoder"), "--encoder_overrides", "{}"]
    run("align", "tiny_align", folders["align"], *overrides, "--language_model", str(tiny_llm))
    run(
        "instruct",
        "tiny_instruct",
        folders["instruct"],
        *["--model", str(folders["align"]), "--encoder_overrides", "{}"],
    )
    return folders


@pytest.mark.parametrize("stage", STAGES)
def test_tiny_recipe_writes_what_it_promises(parts: dict[str, Path], stage: str) -> None:
    folder = parts[stage]
    for name in (RECIPE_FILE, "metrics.jsonl", "loss.png", f"checkpoint-2/{MARKER}"):
        assert (folder / name).is_file()
    record = read_metrics(folder)[0]
    assert {"step", "loss", "grad_norm", "learning_rate", "samples_per_second"} <= record.keys()
    assert losses(folder).keys() == {1, 2}
    assert all(torch.isfinite(torch.tensor(loss)) for loss in losses(folder).values())


def test_each_part_of_a_loss_is_logged(parts: dict[str, Path]) -> None:
    record = read_metrics(parts["pretrain"])[0]
    assert record["loss"] == pytest.approx(record["prediction_loss"] + record["alignment_loss"])
    record = read_metrics(parts["align"])[0]
    assert record["loss"] == pytest.approx(record["cosine_loss"] + record["norm_loss"], rel=1e-5)


@pytest.mark.parametrize("stage", STAGES)
def test_demo_recipe_runs(
    stage: str, parts: dict[str, Path], tiny_llm: Path, tmp_path: Path
) -> None:
    small = ["--max_steps", "2", "--per_device_train_batch_size", "2", "--logging_steps", "1"]
    small += ["--num_frames", "4", "--validation_clips", "2"]
    small += ["--eval_strategy", "steps", "--eval_steps", "2"]
    special = {
        "pretrain": [*encoder_with(), "--subclip_frames", "2"],
        "align": [
            *["--encoder", str(parts["pretrain"] / "encoder"), "--tokens_per_frame", "4"],
            *["--language_model", str(tiny_llm)],
        ],
        "instruct": ["--model", str(parts["align"])],
    }
    folder = run(stage, f"demo_{stage}", tmp_path / "out", *small, *special[stage])
    assert any("eval_loss" in record for record in read_metrics(folder))


def test_stages_hand_on_their_parts(parts: dict[str, Path], tiny_llm: Path) -> None:
    encoder = VideoMAPModel.from_pretrained(parts["pretrain"] / "encoder")
    aligned = VideoLLMForConditionalGeneration.from_pretrained(parts["align"])
    base = VideoLLMForConditionalGeneration.from_pretrained(parts["instruct"])
    assert_same(encoder.state_dict(), aligned.vision_model.state_dict())
    assert_same(aligned.state_dict(), base.state_dict())
    assert aligned.config.text_model == str(tiny_llm)
    assert not any("language_model" in name for name in weights(parts["instruct"]))
    for folder in (parts["align"], parts["instruct"]):
        config = json.loads((folder / "config.json").read_text())
        assert not config["text_config"].get("_name_or_path")


def test_frozen_parts_do_not_move(parts: dict[str, Path], tiny_llm: Path) -> None:
    start = VideoLLMForConditionalGeneration.from_parts(
        parts["pretrain"] / "encoder", str(tiny_llm), tokens_per_frame=4
    )
    adapted = load_adapter(
        VideoLLMForConditionalGeneration.from_pretrained(parts["instruct"]),
        parts["instruct"] / "adapter",
    )
    core = adapted.base_model.model
    assert_same(start.vision_model.state_dict(), core.vision_model.state_dict())
    kept = {
        name.replace(".base_layer", ""): value
        for name, value in core.language_model.state_dict().items()
        if "lora_" not in name
    }
    assert_same(start.language_model.state_dict(), kept)


def test_adapter_and_projector_learn(parts: dict[str, Path]) -> None:
    base, adapter = weights(parts["instruct"]), weights(parts["instruct"] / "adapter")
    updates = [value for name, value in adapter.items() if "lora_B" in name]
    assert updates
    assert all(value.any() for value in updates)
    trained = adapter["base_model.model.projector.mlp.0.weight"]
    assert not torch.equal(trained, base["projector.mlp.0.weight"])


def test_result_answers_and_its_own_adapter_goes_on(parts: dict[str, Path], tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    model, processor = load_model(parts["instruct"], device=cpu, dtype=torch.float32)
    text = processor.render([{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    ids = model.generate(**processor(text), max_new_tokens=3, do_sample=False)
    assert ids.shape[1] >= 1
    first = ["--model", str(parts["instruct"]), "--encoder_overrides", "{}"]
    idle = [*first, "--learning_rate", "0", "--projector_learning_rate", "0"]
    again = run("instruct", "tiny_instruct", tmp_path, *idle)
    assert_same(weights(again / "adapter"), weights(parts["instruct"] / "adapter"))
    assert align.main(["tiny_align", "--output_dir", str(tmp_path / "x"), *first]) == 2


def stage_arguments(stage: str, parts: dict[str, Path]) -> list[str]:
    """Return what makes a run of four steps with dropout, so that randomness matters."""
    shared = ["--max_steps", "4", "--save_steps", "2", "--encoder_overrides", "{}"]
    return {
        "pretrain": [*shared, *encoder_with(drop_path_rate=0.3)],
        "align": [*shared, "--encoder", str(parts["pretrain"] / "encoder")],
        "instruct": [*shared, "--model", str(parts["align"]), "--lora_dropout", "0.2"],
    }[stage]


@pytest.mark.parametrize("stage", STAGES)
def test_killed_and_resumed_equals_uninterrupted(
    stage: str,
    parts: dict[str, Path],
    tiny_llm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = stage_arguments(stage, parts)
    if stage == "align":
        arguments += ["--language_model", str(tiny_llm)]
    whole = run(stage, f"tiny_{stage}", tmp_path / "whole", *arguments)

    killed = tmp_path / "killed"
    killed_at(3, monkeypatch, stage, f"tiny_{stage}", killed, *arguments)
    assert not (killed / "checkpoint-4").exists()
    # What a kill in the middle of writing leaves behind.
    (killed / "checkpoint-3").mkdir()
    (killed / "checkpoint-3" / "trainer_state.json").write_text("{")
    run(stage, f"tiny_{stage}", killed, *arguments)

    assert {step: losses(killed)[step] for step in (3, 4)} == {
        step: losses(whole)[step] for step in (3, 4)
    }
    assert_same(weights(whole / "checkpoint-4"), weights(killed / "checkpoint-4"))
    assert (killed / "incomplete-checkpoint-3").is_dir()


def test_metrics_of_a_resumed_run_read_as_one(parts: dict[str, Path], tmp_path: Path) -> None:
    arguments = stage_arguments("pretrain", parts)
    folder = run("pretrain", "tiny_pretrain", tmp_path, *arguments, "--max_steps", "2")
    run("pretrain", "tiny_pretrain", folder, *arguments)
    steps = [item["step"] for item in read_metrics(folder) if "loss" in item]
    assert steps == [1, 2, 3, 4]
    run("pretrain", "tiny_pretrain", folder, *arguments, "--resume", "never")
    assert [item["step"] for item in read_metrics(folder) if "loss" in item] == [1, 2, 3, 4]


def test_finished_run_is_exported_again_not_trained_further(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    arguments = stage_arguments("pretrain", parts)
    folder = run("pretrain", "tiny_pretrain", tmp_path, *arguments)
    before = weights(folder / "encoder")
    (folder / "encoder" / "model.safetensors").unlink()
    run("pretrain", "tiny_pretrain", folder, *arguments)
    assert_same(before, weights(folder / "encoder"))
    assert not (folder / "checkpoint-5").exists()


def test_same_seed_same_run_other_seed_other_run(parts: dict[str, Path], tmp_path: Path) -> None:
    again = run("pretrain", "tiny_pretrain", tmp_path / "a")
    other = run("pretrain", "tiny_pretrain", tmp_path / "b", "--seed", "1")
    assert losses(again) == losses(parts["pretrain"])
    assert losses(other) != losses(again)


def test_captions_align_the_projector_alone(
    parts: dict[str, Path], tiny_llm: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(draw_video(numbered_frames(12)))
    turns = [{"from": "human", "value": "<video>\nSay"}, {"from": "gpt", "value": "bars"}]
    data = tmp_path / "data.json"
    data.write_text(json.dumps([{"video": "a.mp4", "conversations": turns}] * 4))
    folder = run(
        *("align", "tiny_align", tmp_path / "out", "--encoder", str(parts["pretrain"] / "encoder")),
        *("--encoder_overrides", "{}", "--language_model", str(tiny_llm), "--objective", "caption"),
        *("--dataset", "llava", "--data_path", str(data), "--max_steps", "4"),
        *("--learning_rate", "0.01", "--per_device_train_batch_size", "2"),
    )
    before = VideoMAPModel.from_pretrained(parts["pretrain"] / "encoder")
    after = VideoLLMForConditionalGeneration.from_pretrained(folder)
    assert_same(before.state_dict(), after.vision_model.state_dict())
    assert losses(folder)[4] < losses(folder)[1]


def test_videos_pretrain_on_their_own_pixels(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(draw_video(numbered_frames(12)))
    run(
        *("pretrain", "tiny_pretrain", tmp_path / "out", "--dataset", "videos"),
        *("--teacher", "pixels", "--data_path", str(tmp_path)),
        *("--per_device_train_batch_size", "2"),
    )


def test_training_learns_with_a_frozen_llm_in_bfloat16(
    parts: dict[str, Path], tiny_llm: Path, tmp_path: Path
) -> None:
    llm = tmp_path / "llm"
    shutil.copytree(tiny_llm, llm)
    loud = LlamaForCausalLM.from_pretrained(llm)
    # As drawn, its head is too weak to prefer any token.
    loud.lm_head.weight.data.mul_(30)
    loud.save_pretrained(llm)
    folder = run(
        *("instruct", "tiny_instruct", tmp_path / "out", "--language_model", str(llm)),
        *encoder_with(),
        *("--dtype", "bfloat16"),
        *("--max_steps", "12", "--save_strategy", "no", "--num_clips", "2"),
        *("--learning_rate", "0.02", "--lr_scheduler_type", "constant"),
    )
    values = list(losses(folder).values())
    assert values[-1] < 0.8 * values[0]
