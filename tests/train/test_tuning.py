"""Each tuning trains, is killed, goes on, and its folder loads again as what was trained."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.tiny import logits, needs_bitsandbytes, tiny_inputs
from tests.train.runs import assert_same, encoder_with, killed_at, losses, refusal, run, weights
from videollm.adapter_record import read_record
from videollm.loading import load_base, load_model, merge_model
from videollm.model import VideoLLMForConditionalGeneration
from videollm.train.summary import RunSummary

CPU = torch.device("cpu")
FOUR_STEPS = ["--max_steps", "4", "--save_steps", "2", "--num_clips", "8"]
TUNINGS = {
    "lora": ["--tuning", "lora", "--lora_dropout", "0.2", "--neftune_noise_alpha", "5"],
    "qlora": ["--tuning", "qlora", "--lora_targets", "q_proj", "v_proj", "--lora_rslora", "true"],
    "dora": ["--tuning", "dora", "--train_encoder", "true", "--encoder_learning_rate", "0.001"],
    "full": ["--tuning", "full", "--train_encoder", "true"],
}
EVERY = [
    pytest.param(name, marks=needs_bitsandbytes) if name == "qlora" else name for name in TUNINGS
]


@pytest.fixture(scope="module", autouse=True)
def _no_plots() -> Iterator[None]:
    """Leave out the loss plots, a quarter of a tiny run's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunSummary, "on_train_end", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Path:
    """Return the folder of a model with a fresh encoder and projector."""
    folder = tmp_path_factory.mktemp("tuning") / "aligned"
    words = [*encoder_with(), "--language_model", str(tiny_llm), "--max_steps", "1"]
    return run("align", "tiny_align", folder, *words)


@pytest.fixture(scope="module")
def whole(aligned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of runs that nothing interrupted, made when first asked for."""
    root = tmp_path_factory.mktemp("whole")

    class Made(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            self[name] = tune(aligned, root / name, name)
            return self[name]

    return Made()


def tune(model: Path, folder: Path, name: str, *more: str) -> Path:
    start = ["--model", str(model), "--encoder_overrides", "{}", *FOUR_STEPS]
    return run("instruct", "tiny_instruct", folder, *start, *TUNINGS[name], *more)


def result(folder: Path) -> dict[str, Tensor]:
    """Return what a run taught: the adapter, or the whole model."""
    return weights(folder / "adapter" if (folder / "adapter").is_dir() else folder)


@pytest.mark.parametrize("name", EVERY)
def test_killed_and_resumed_equals_uninterrupted(
    name: str,
    aligned: Path,
    whole: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = ["--model", str(aligned), "--encoder_overrides", "{}", *FOUR_STEPS, *TUNINGS[name]]
    killed_at(3, monkeypatch, "instruct", "tiny_instruct", tmp_path, *start)
    resumed = tune(aligned, tmp_path, name)
    assert_same(result(resumed), result(whole[name]))
    assert losses(resumed) == losses(whole[name])


@pytest.mark.parametrize("name", EVERY)
def test_the_folder_holds_what_the_last_step_taught(
    name: str, aligned: Path, whole: dict[str, Path]
) -> None:
    folder = whole[name]
    assert_same(result(folder), weights(folder / "checkpoint-4"))
    before, processor = load_base(aligned, dtype=torch.float32)
    after, _ = load_model(folder, device=CPU, dtype=torch.float32)
    inputs = tiny_inputs(processor)
    assert not torch.equal(logits(before, inputs), logits(after, inputs))
    learns = {"encoder": "vision_model", "projector": "projector"}
    moved = {
        part
        for part, prefix in learns.items()
        if any(
            not torch.equal(value, after.get_submodule(prefix).state_dict()[key])
            for key, value in before.get_submodule(prefix).state_dict().items()
        )
    }
    assert moved == ({"encoder", "projector"} if name in ("dora", "full") else {"projector"})


def test_full_tuning_writes_one_model_with_all_its_weights(whole: dict[str, Path]) -> None:
    folder = whole["full"]
    assert not (folder / "adapter").exists()
    assert json.loads((folder / "config.json").read_text())["text_model"] is None
    found = load_file(folder / "model.safetensors")
    assert any(name.startswith("language_model.") for name in found)
    assert {value.dtype for value in found.values()} == {torch.float32}


@needs_bitsandbytes
def test_four_bits_leave_the_base_and_the_other_parts_as_they_were(
    aligned: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    before, after = weights(aligned), weights(whole["qlora"])
    assert_same(before, after)
    assert "quantization_config" not in (whole["qlora"] / "config.json").read_text()
    adapter = weights(whole["qlora"] / "adapter")
    assert {value.dtype for value in adapter.values()} == {torch.float32}
    for quantization in (None, "nf4"):
        load_model(whole["qlora"], quantization=quantization, device=CPU, dtype=torch.float32)
    merged, _ = merge_model(whole["qlora"])
    assert isinstance(merged, VideoLLMForConditionalGeneration)
    # A base that holds all its weights is handed on as it was, too.
    again = tune(whole["full"], tmp_path, "qlora", "--max_steps", "1")
    assert_same(weights(whole["full"]), weights(again))
    load_model(again, device=CPU, dtype=torch.float32)


def test_an_adapter_goes_on_or_is_merged_into_a_full_run(
    aligned: Path, whole: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = ["--learning_rate", "0", "--projector_learning_rate", "0", "--max_steps", "1"]
    on = tune(whole["lora"], tmp_path / "on", "lora", *idle)
    assert_same(result(on), result(whole["lora"]))
    assert read_record(on / "adapter") == read_record(whole["lora"] / "adapter")
    merged = tune(whole["lora"], tmp_path / "merged", "full", *idle)
    model, processor = load_model(whole["lora"], device=CPU, dtype=torch.float32)
    inputs = tiny_inputs(processor)
    same, _ = load_model(merged, device=CPU, dtype=torch.float32)
    torch.testing.assert_close(logits(same, inputs), logits(model, inputs), atol=1e-5, rtol=1e-5)
    start = ["--model", str(whole["lora"]), "--encoder_overrides", "{}"]
    line = refusal(capsys, "instruct", "tiny_instruct", tmp_path / "x", *start, "--tuning", "dora")
    assert "tuning: dora given, and" in line
    assert "is plain LoRA: go on with tuning: lora" in line
    more = ["--train_encoder", "true"]
    line = refusal(capsys, "instruct", "tiny_instruct", tmp_path / "x", *start, *more)
    assert (
        "trains projector beside the language model, asked for is projector, vision_model" in line
    )


def test_the_encoder_learns_at_its_own_rate(
    aligned: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    still = tune(aligned, tmp_path, "dora", "--encoder_learning_rate", "0")
    kept = VideoLLMForConditionalGeneration.from_pretrained(aligned).vision_model.state_dict()
    prefix = "base_model.model.vision_model."
    for folder, moves in ((still, False), (whole["dora"], True)):
        adapter = weights(folder / "adapter")
        found = {name.removeprefix(prefix): adapter[name] for name in adapter if prefix in name}
        assert found.keys() == kept.keys()
        assert any(not torch.equal(found[name], kept[name]) for name in kept) == moves


def test_gradient_checkpointing_changes_no_loss(
    aligned: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    less = tune(aligned, tmp_path, "lora", "--activation_checkpointing", "true")
    assert losses(less) == pytest.approx(losses(whole["lora"]), rel=1e-4)


def test_noise_on_embeddings_is_seen_in_training_alone(
    aligned: Path, whole: dict[str, Path], tmp_path: Path
) -> None:
    quiet = tune(aligned, tmp_path, "lora", "--neftune_noise_alpha", "0", "--max_steps", "1")
    assert losses(quiet)[1] != losses(whole["lora"])[1]


def test_the_card_tells_how_the_model_was_made(whole: dict[str, Path]) -> None:
    card = (whole["lora"] / "README.md").read_text()
    for words in (
        "library_name: videollm",
        "LoRA, rank 4, alpha 8",
        "| dataset | toyworld |",
        "| lora_dropout | 0.2 |",
        "| seed | 0 |",
        "| steps | 4 |",
        f"| last logged loss | {losses(whole['lora'])[4]:.4f} |",
        "| commit | ",
        "torch 2.",
        "Not stated.",
    ):
        assert words in card, words
    assert str(whole["lora"].parent) not in card
    assert "in this folder, whole" in (whole["full"] / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--use_liger_kernel", "true"], "use_liger_kernel: its kernels are put in by model type"),
        (["--tuning", "full", "--lora_targets", "q_proj"], "lora_targets: tuning: full has no"),
        (["--lora_targets", "qkv"], "lora_targets: qkv: no linear layer"),
        (["--modules_to_save", "nothing"], "the model has no module 'nothing'"),
        (["--lora_rank", "0"], "lora_rank: 0 given, 1 or more allowed"),
        (["--tuning", "half"], "invalid choice: 'half'"),
    ],
)
def test_arguments_that_contradict_are_refused(
    arguments: list[str],
    words: str,
    aligned: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = ["--model", str(aligned), "--encoder_overrides", "{}"]
    line = refusal(capsys, "instruct", "tiny_instruct", tmp_path / "x", *start, *arguments)
    assert words in line


@pytest.mark.parametrize(
    ("begun", "arguments", "words"),
    [
        ("lora", ["--lora_rank", "8"], "another lora_rank: give the values that the run began"),
        ("lora", ["--tuning", "dora"], "another tuning: give"),
        ("lora", ["--tuning", "full", "--lora_dropout", "0"], "another tuning and lora_rank"),
        ("full", ["--tuning", "lora"], "another tuning and lora_rank"),
    ],
)
def test_a_run_goes_on_with_the_tuning_that_it_began_with(
    begun: str,
    arguments: list[str],
    words: str,
    aligned: Path,
    whole: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = ["--model", str(aligned), "--encoder_overrides", "{}", *FOUR_STEPS]
    line = refusal(capsys, "instruct", "tiny_instruct", whole[begun], *start, *arguments)
    assert words in line


def test_a_moved_run_answers_and_goes_on(whole: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(whole["lora"], tmp_path / "moved")
    model, processor = load_model(tmp_path / "moved" / "adapter", device=CPU, dtype=torch.float32)
    here, _ = load_model(whole["lora"], device=CPU, dtype=torch.float32)
    inputs = tiny_inputs(processor)
    assert torch.equal(logits(model, inputs), logits(here, inputs))
    tune(tmp_path / "moved", tmp_path / "on", "lora", "--max_steps", "1")
