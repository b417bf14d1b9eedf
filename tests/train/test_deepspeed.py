"""Two processes that share out weights or gradients (DeepSpeed) learn what one process learns.

On CPUs, where DeepSpeed is installed; it is in no extra.
"""

import importlib.util
from pathlib import Path

import pytest
import torch

from tests.train.launching import launch
from tests.train.runs import QUIET, losses, run, weights, write_mixed

needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed"
)
VARIABLES = {
    "DS_ACCELERATOR": "cpu",
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "auto",
    "ACCELERATE_GRADIENT_CLIPPING": "auto",
    "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none",
    "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
    "ACCELERATE_DEEPSPEED_ZERO3_INIT": "false",
    "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true",
}
"""What accelerate's launcher makes of the shipped files; its own start needs GPUs."""


@needs_deepspeed
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["2", "3"])
def test_mixed_batches_teach_two_processes_what_they_teach_one(
    stage: str, tmp_path: Path, tiny_llm: Path
) -> None:
    mixed = write_mixed(tmp_path / "data")
    given = ["--dataset", "llava", "--data_path", str(mixed), "--max_steps", "3", "--use_cpu"]
    given += ["--language_model", str(tiny_llm), "--dtype", "float32", "--train_encoder", "true"]
    size = ["--per_device_train_batch_size"]
    one = run("instruct", "tiny_instruct", tmp_path / "one", *given, *size, "4")
    two = tmp_path / "two"
    line = ["instruct", "tiny_instruct", *given, *QUIET, "--output_dir", str(two), *size, "2"]
    launch(
        "tests.train.stages_worker", [line], {**VARIABLES, "ACCELERATE_DEEPSPEED_ZERO_STAGE": stage}
    )
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    shared = weights(two / "adapter")
    for name, value in weights(one / "adapter").items():
        torch.testing.assert_close(shared[name], value, atol=1e-5, rtol=1e-4)
