"""Weights that lie in parts on several processes (FSDP): how to get them back as a whole."""

from typing import cast

from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor

__all__ = ["is_sharded", "part_of_state", "whole_state"]


def is_sharded(model: nn.Module) -> bool:
    """Return whether a process holds only its share of some weights."""
    return any(isinstance(item, DTensor) for item in model.parameters())


def whole_state(model: nn.Module) -> dict[str, Tensor]:
    """Return all weights of a model by name; every process has to call it at the same time.

    Weights that are not sharded are returned as they are. Sharded ones are gathered on the CPU of
    the first process; the others get an empty dict.
    """
    if not is_sharded(model):
        return model.state_dict()
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast("dict[str, Tensor]", get_model_state_dict(model, options=options))


def part_of_state(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the weights of a submodule by its own names."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
