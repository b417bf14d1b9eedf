"""Run training programs as one of two processes that share their weights (FSDP2), on the CPU.

accelerate shards on GPUs only, although torch does on CPUs too: the switch is set here behind its
back. The only argument is a JSON list of steps: {"run": command line} or {"copy": [from, to]}.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch.distributed
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from tests.train.runs import PROGRAMS

_initialise = AcceleratorState.__init__


def _with_sharding(
    self: AcceleratorState,
    *args: Any,
    fsdp_plugin: FullyShardedDataParallelPlugin | None = None,
    **kwargs: Any,
) -> None:
    _initialise(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None:
        self.fsdp_plugin = fsdp_plugin
        for state in (self.__dict__, PartialState._shared_state):
            state["distributed_type"] = DistributedType.FSDP


def main() -> None:
    AcceleratorState.__init__ = _with_sharding  # type: ignore[method-assign]
    for step in json.loads(sys.argv[1]):
        if "run" in step:
            program, *arguments = step["run"]
            if code := PROGRAMS[program](arguments):
                sys.exit(code)
            assert Accelerator().is_fsdp2
        elif PartialState().is_main_process:
            source, target = map(Path, step["copy"])
            shutil.copytree(source, target)
        torch.distributed.barrier()


if __name__ == "__main__":
    main()
