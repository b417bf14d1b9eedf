"""Recipes: precedence, one clear line for every mistake, and a record that repeats the run."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_deepspeed_cmd_env

from videollm.errors import RecipeError
from videollm.train import align, dpo, instruct
from videollm.train.arguments import (
    DataArguments,
    EncoderArguments,
    PretrainArguments,
)
from videollm.train.classify_arguments import ClassifyArguments, ClassifyDataArguments
from videollm.train.recipe import (
    RECIPE_FILE,
    find_recipe,
    parse_recipe,
    shipped_recipes,
    write_recipe,
)
from videollm.train.stage_arguments import StageArguments
from videollm.train.view_arguments import ViewArguments

GROUPS = (EncoderArguments, PretrainArguments, DataArguments, ViewArguments, StageArguments)
STAGE_GROUPS = {
    "pretrain": GROUPS,
    "align": (*align.GROUPS, StageArguments),
    "instruct": (*instruct.GROUPS, StageArguments),
    "dpo": (*dpo.GROUPS, StageArguments),
    "classify": (
        EncoderArguments,
        ClassifyArguments,
        ClassifyDataArguments,
        ViewArguments,
        StageArguments,
    ),
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("output_dir: out\nmax_steps: 5\nlearning_rate: 1e-4\n")
    return path


def parse(path: Path, *arguments: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return parse_recipe([str(path), *arguments], stage="pretrain", groups=GROUPS)


def parse_text(folder: Path, text: str, *arguments: str) -> tuple[Any, ...]:
    path = folder / "given.yaml"
    path.write_text(text)
    return parse(path, *arguments)[0]


def test_command_line_beats_recipe_beats_default(recipe: Path) -> None:
    (*_, args), _ = parse(recipe, "--max_steps", "7")
    assert args.max_steps == 7
    assert args.learning_rate == 1e-4
    assert args.per_device_train_batch_size == 8


def test_both_spellings_and_bare_switches_work(recipe: Path) -> None:
    (*_, args), _ = parse(recipe, "--max-steps=9", "--use_cpu", "--encoder", "tiny")
    assert (args.max_steps, args.use_cpu) == (9, True)


def test_lists_mappings_and_null_mean_the_same_in_both_sources(tmp_path: Path) -> None:
    text = "output_dir: out\nkeep_ratios: [1, 0.5]\nencoder_overrides: {num_layers: 2}\nrun_name:\n"
    from_recipe = parse_text(tmp_path, text)
    command = ["--keep_ratios", "1", "0.5", "--encoder_overrides", '{"num_layers": 2}']
    from_command_line = parse_text(tmp_path, "output_dir: out", *command)
    assert from_recipe[:3] == from_command_line[:3]
    assert from_recipe[0].encoder_overrides == {"num_layers": 2}
    assert from_recipe[1].keep_ratios == [1.0, 0.5]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "learning_rat: 1",
            r"unknown key 'learning_rat'; the nearest known one is 'learning_rate'",
        ),
        ("max_steps: many", r"given.yaml: argument --max_steps.*invalid int value: 'many'"),
        ("max_steps: 1.5", "invalid int value"),
        ("max_steps: [1, 2]", "a list stands where one value"),
        ("max_steps: {a: 2}", "max_steps: a single value is expected"),
        ("teacher: dino", r"invalid choice: 'dino' \(choose from"),
        ("use_cpu: perhaps", "--use_cpu.*Truthy value expected"),
        ("keep_ratios: [1.5]", r"keep_ratios: \[1.5\] given, shares above 0"),
        ("max_bad: 2", "max_bad: 2.0 given, 0 to 1 allowed"),
        ("num_frames: 0", "num_frames: 0 given, 1 or more"),
        ("dataset: llava", "dataset llava needs data_path"),
        ("encoder_overrides: small", "encoder_overrides: 'small' is not JSON"),
        ("save_total_limit: 1", "save_total_limit: 1 given, 2 or more"),
        ("remove_unused_columns: true", "remove_unused_columns: only false"),
        ("resume_from_checkpoint: x", "resume_from_checkpoint: not read here; use resume"),
        ("stage: align", "a recipe for align, not for pretrain: run videollm align"),
        ("- a", "a list was found"),
        ("a: [", "not a YAML file"),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, text: str, match: str) -> None:
    given = text if text.startswith(("- ", "a: ")) else f"output_dir: out\n{text}"
    with pytest.raises(RecipeError, match=match):
        parse_text(tmp_path, given)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--max_step", "4"], "command line: unknown key 'max_step'; the nearest .* 'max_steps'"),
        (["--max_steps", "x"], "command line: argument --max_steps.*'x'"),
        (["--max_steps"], "command line: argument --max_steps.*expected one argument"),
        (["4"], "'4' belongs to no --key"),
    ],
)
def test_every_mistake_on_the_command_line_is_named(
    recipe: Path, arguments: list[str], match: str
) -> None:
    with pytest.raises(RecipeError, match=match):
        parse(recipe, *arguments)


def test_output_folder_is_required(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="output_dir: nothing given; add --output_dir"):
        parse_text(tmp_path, "max_steps: 1")


def test_missing_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match=r"recipe nowhere: no such file.*tiny_instruct"):
        find_recipe("nowhere")
    with pytest.raises(RecipeError, match=r"no recipe given.*demo_pretrain"):
        parse_recipe([], stage="pretrain", groups=GROUPS)


def test_bare_name_finds_a_shipped_recipe() -> None:
    assert find_recipe("tiny_instruct").name == "tiny_instruct.yaml"
    assert {f"tiny_{stage}" for stage in STAGE_GROUPS} <= set(shipped_recipes())


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_shipped_recipe_parses_and_saves_as_it_goes(name: str) -> None:
    stage = yaml.safe_load(find_recipe(name).read_text())["stage"]
    # Recipes for GPUs ask for bf16, which is refused where there is none.
    device = [] if torch.cuda.is_available() else ["--use_cpu"]
    filled, _ = parse_recipe([name, *device], stage=stage, groups=STAGE_GROUPS[stage])
    args = filled[-1]
    if args.max_steps > 0:
        assert args.save_strategy == "steps"
        assert args.max_steps % args.save_steps == 0
    else:
        assert args.save_strategy == "epoch"


@pytest.mark.parametrize("name", ["zero2_8gpu", "zero3_8gpu"])
def test_deepspeed_gets_the_settings_that_the_files_give(name: str) -> None:
    path = find_recipe("tiny_pretrain").with_name("accelerate") / f"{name}.yaml"
    words = ["--config_file", str(path), "--machine_rank", "1", "-m", "videollm.train.instruct"]
    arguments, *_ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert arguments.use_deepspeed
    assert arguments.machine_rank == 1
    arguments.deepspeed_fields_from_accelerate_config = "zero_stage"
    command, variables = prepare_deepspeed_cmd_env(arguments)
    assert command is None  # no launcher of its own: each machine runs the same command
    assert variables["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == re.sub(r"[^0-9]", "", name.split("_")[0])
    assert variables["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"] == "auto"
    assert variables["ACCELERATE_DEEPSPEED_ZERO3_INIT"] == "false"


@pytest.mark.parametrize("name", ["cpu_2", "ddp_8gpu", "fsdp2_8gpu", "zero2_8gpu", "zero3_8gpu"])
def test_shipped_launch_settings_load(name: str) -> None:
    path = find_recipe("tiny_pretrain").with_name("accelerate") / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    assert config.num_processes == int(re.sub(r"[^0-9]", "", name.split("_")[1]))
    assert name not in shipped_recipes()


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if "_k400" in name])
def test_full_scale_batches_are_those_of_videomamba(name: str) -> None:
    values = yaml.safe_load(find_recipe(name).read_text())
    batch = values["per_device_train_batch_size"] * values["gradient_accumulation_steps"]
    assert 8 * batch == {"pretrain_k400_middle": 64 * 32, "finetune_k400": 16 * 16}[name]


def test_written_recipe_repeats_the_run(recipe: Path, tmp_path: Path) -> None:
    command = ["--encoder_overrides", '{"num_layers": 2}', "--max_steps", "3"]
    filled, values = parse(recipe, *command, "--hub_token", "not-to-be-published")
    write_recipe(tmp_path / "out", stage="pretrain", values=values)
    again, _ = parse(tmp_path / "out" / RECIPE_FILE)
    assert again[:3] == filled[:3]
    assert again[-1].max_steps == 3
    assert "not-to-be-published" not in (tmp_path / "out" / RECIPE_FILE).read_text()


def test_program_tells_mistakes_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert instruct.main(["tiny_instruct", "--lora_rnk", "4"]) == 2
    captured = capsys.readouterr()
    assert captured.err == (
        "error: command line: unknown key 'lora_rnk'; the nearest known one is 'lora_rank'\n"
    )
    assert not captured.out


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        instruct.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "example: videollm instruct tiny_instruct" in " ".join(text.split())
    assert "--lora_rank" in text


@pytest.mark.parametrize(("given", "share"), [("1%", 0.01), ("0.01", 0.01), ("100 %", 1.0)])
def test_a_share_may_be_a_percentage(recipe: Path, given: str, share: float) -> None:
    recipe.write_text(f"output_dir: out\nmax_bad: {given}\n")
    (_, _, data, *_), values = parse(recipe)
    assert data.max_bad == share
    assert parse(recipe, f"--max_bad={given}")[1]["max_bad"] == share
    write_recipe(recipe.parent, stage="pretrain", values=values)
    assert f"max_bad: {share}\n" in (recipe.parent / RECIPE_FILE).read_text()


@pytest.mark.parametrize("given", ["many", "%", "", "101%", "-1%", "1.5"])
def test_a_share_that_is_none_is_refused(recipe: Path, given: str) -> None:
    with pytest.raises(RecipeError, match=r"max.bad: .* given, (a share such as 0.01|0 to)"):
        parse(recipe, f"--max_bad={given}")


def test_slow_bf16_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for has_fast, told in ((True, False), (False, True)):
        monkeypatch.setattr(
            "videollm.train.stage_arguments.cpu_has_fast_bf16", lambda fast=has_fast: fast
        )
        caplog.clear()
        StageArguments(output_dir=str(tmp_path), use_cpu=True, bf16=True)
        assert ("add --bf16 false" in caplog.text) == told
