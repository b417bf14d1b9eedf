"""Two processes that share the weights (FSDP2) learn what one process learns.

align and instruct do so from samples of which most are text alone, so that in some steps one
process has no video while the other has.
"""

from pathlib import Path

import pytest
import torch
import yaml
from accelerate.utils import merge_fsdp_weights
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel

from tests.train.launching import ACCELERATE, launch
from tests.train.runs import QUIET, losses, run, weights, write_mixed
from videollm.encoder import VideoMAPModel, demo_config
from videollm.loading import load_base
from videollm.train import classify
from videollm.train.sharding import is_sharded, part_of_state, whole_state

SHARED = ["--max_steps", "3", "--save_steps", "1", "--save_total_limit", "3", "--use_cpu", "true"]
PROGRAMS = ("pretrain", "classify", "align", "instruct")


def variables() -> dict[str, str]:
    """Return what accelerate's launcher makes of the shipped configuration."""
    shipped = yaml.safe_load((ACCELERATE / "fsdp2_8gpu.yaml").read_text())
    assert shipped["distributed_type"] == "FSDP"
    settings = {name.upper(): str(value) for name, value in shipped["fsdp_config"].items()}
    return {"ACCELERATE_USE_FSDP": "true", **settings}


def arguments(program: str, tiny_llm: Path, mixed: Path) -> list[str]:
    options = [*SHARED, *QUIET]
    if program == "pretrain":
        options += ["--teacher", "pixels", "--keep_ratios", "0.5"]
    if program == "classify":
        options += ["--mixup", "0", "--cutmix", "0"]
    if program in ("align", "instruct"):
        options += ["--language_model", str(tiny_llm), "--dtype", "float32"]
        options += ["--dataset", "llava", "--data_path", str(mixed)]
    if program == "align":
        options += ["--objective", "caption"]
    if program == "instruct":
        options += ["--train_encoder", "true"]
    return options


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> Path:
    """Run each program on two processes that share, once more from a checkpoint, and on one."""
    root = tmp_path_factory.mktemp("sharded")
    mixed = write_mixed(root / "data")
    steps: list[dict[str, list[str]]] = []
    for program in PROGRAMS:
        line = [program, f"tiny_{program}", *arguments(program, tiny_llm, mixed)]
        for name in ("two", "again"):
            if name == "again":
                places = [root / side / program / "checkpoint-2" for side in ("two", "again")]
                steps.append({"copy": [str(place) for place in places]})
            folder = str(root / name / program)
            steps.append(
                {"run": [*line, "--output_dir", folder, "--per_device_train_batch_size", "2"]}
            )
        options = [*arguments(program, tiny_llm, mixed), "--per_device_train_batch_size", "4"]
        run(program, f"tiny_{program}", root / "one" / program, *options)
    launch("tests.train.sharded_worker", steps, variables())
    return root


def exported(folder: Path, program: str) -> dict[str, torch.Tensor]:
    inner = {"pretrain": "encoder", "classify": "classifier", "align": "", "instruct": "adapter"}
    return weights(folder / program / inner[program])


@pytest.mark.parametrize("program", PROGRAMS)
def test_sharded_training_is_training(runs: Path, program: str) -> None:
    one, two = (losses(runs / name / program) for name in ("one", "two"))
    assert one.keys() == {1, 2, 3}
    assert two == pytest.approx(one, rel=1e-5)
    whole, shared = (exported(runs / name, program) for name in ("one", "two"))
    assert whole.keys() == shared.keys()
    for name, value in whole.items():
        torch.testing.assert_close(shared[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_sharded_run_goes_on_from_its_checkpoint(runs: Path, program: str) -> None:
    assert losses(runs / "again" / program)[3] == losses(runs / "two" / program)[3]
    whole, again = (exported(runs / name, program) for name in ("two", "again"))
    for name, value in whole.items():
        assert torch.equal(again[name], value), name


def test_what_a_sharded_run_leaves_loads_as_ever(runs: Path) -> None:
    assert isinstance(AutoModel.from_pretrained(runs / "two/pretrain/encoder"), VideoMAPModel)
    for name in ("align", "instruct"):
        load_base(runs / "two" / name, dtype=torch.float32)
    results = runs / "two/classify/test/results.json"
    assert not results.exists()  # one process tests, apart
    assert classify.main(["--evaluate", str(runs / "two/classify"), *QUIET]) == 0
    assert results.exists()


def test_one_process_reads_a_sharded_checkpoint(runs: Path, tmp_path: Path) -> None:
    shares = runs / "two/pretrain/checkpoint-3/pytorch_model_fsdp_0"
    assert len(list(shares.glob("*.distcp"))) == 2
    merge_fsdp_weights(str(shares), str(tmp_path))
    merged = part_of_state(load_file(tmp_path / "model.safetensors"), "encoder")
    for name, value in exported(runs / "two", "pretrain").items():
        assert torch.equal(merged[name], value), name


def test_units_of_sharding_are_the_layers_that_there_are() -> None:
    sizes = {"hidden_size": 32, "num_layers": 2, "num_attention_heads": 2}
    for pattern, units in {"M": {"MambaLayer"}, "MT": {"MambaLayer", "TransformerLayer"}}.items():
        assert VideoMAPModel(demo_config(layer_pattern=pattern, **sizes))._no_split_modules == units


def test_weights_of_one_process_are_whole_already() -> None:
    model = nn.ModuleDict({"encoder": nn.Linear(2, 3), "encoders": nn.Linear(1, 1)})
    assert not is_sharded(model)
    part = part_of_state(whole_state(model), "encoder")
    assert part.keys() == {"weight", "bias"}
    assert part["weight"].data_ptr() == model["encoder"].weight.data_ptr()
