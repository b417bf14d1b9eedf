"""Weights that lie in parts on several processes (FSDP, ZeRO-3): how to get them back whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor
from transformers.integrations import deepspeed as integration

__all__ = ["built_whole", "is_sharded", "part_of_state", "whole_state"]


@contextmanager
def built_whole() -> Iterator[None]:
    """Let models be built as without DeepSpeed; ZeRO-3 takes their weights apart afterwards.

    The library would do so while it builds them, and finds no weights where a model is put together
    from loaded parts.
    """
    reference = integration._hf_deepspeed_config_weak_ref
    config = None if reference is None else reference()
    integration.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        if config is not None:
            integration.set_hf_deepspeed_config(config)


def is_sharded(model: nn.Module) -> bool:
    """Return whether a process holds only its share of some weights."""
    return any(isinstance(item, DTensor) or _is_partitioned(item) for item in model.parameters())


def whole_state(model: nn.Module) -> dict[str, Tensor]:
    """Return all weights of a model by name; every process has to call it at the same time.

    Weights that are not sharded are returned as they are. Sharded ones are gathered on the CPU of
    the first process; the others get an empty dict.
    """
    if not is_sharded(model):
        return model.state_dict()
    if any(map(_is_partitioned, model.parameters())):
        return _gathered_state(model)
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast("dict[str, Tensor]", get_model_state_dict(model, options=options))


def part_of_state(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the weights of a submodule by its own names."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def _is_partitioned(parameter: Tensor) -> bool:
    """Return whether ZeRO-3 has taken a parameter apart."""
    return hasattr(parameter, "ds_id")


def _gathered_state(model: nn.Module) -> dict[str, Tensor]:
    """Return what ZeRO-3 has taken apart, one weight at a time, on the CPU of the first process."""
    import deepspeed

    state = {}
    for name, value in model.state_dict(keep_vars=True).items():
        with deepspeed.zero.GatheredParameters([value] if _is_partitioned(value) else []):
            if distributed.get_rank() == 0:
                state[name] = value.detach().cpu().clone()
    return state
