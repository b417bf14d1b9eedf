"""Which parts of a model learn, and how fast: freezing, and a learning rate for each part.

Parts are told by parameter names: the encoder, the projector, the adapter (LoRA), and the
language model. The Trainer here overrides `create_optimizer` and nothing else.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn
from transformers import Trainer

from videollm.train.arguments import StageArguments

__all__ = [
    "PART_NAMES",
    "PartsTrainer",
    "decays",
    "freeze_all_but",
    "keep_evaluating",
    "parameter_groups",
    "part_of",
]

Part = Literal["encoder", "projector", "adapter", "language_model"]
PART_NAMES: tuple[Part, ...] = ("encoder", "projector", "adapter", "language_model")

_NO_DECAY = re.compile(
    r"(^|[._])(bias|norm\d*|A_log|D|\w*table|\w*token|\w*queries|pos_embed\w*)([._]|$)"
)


def part_of(name: str) -> Part:
    """Return the part that a parameter belongs to, by its dotted name.

    An encoder that is trained alone, with its pretraining heads, is "encoder" throughout.
    """
    if "lora_" in name:
        return "adapter"
    steps = name.split(".")
    if "projector" in steps:
        return "projector"
    return "language_model" if "language_model" in steps else "encoder"


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Return whether weight decay pulls a parameter to zero.

    Norms, biases, the scan's A, D and step bias, learned tokens and position tables are not
    weights of a linear map: zero means nothing special for them.
    """
    return parameter.ndim >= 2 and _NO_DECAY.search(name) is None


def freeze_all_but(model: nn.Module, parts: Iterable[Part]) -> None:
    """Let only the named parts of a model learn."""
    kept = set(parts)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in kept)


def keep_evaluating(module: nn.Module) -> None:
    """Keep a frozen part in evaluation mode, whatever the Trainer sets at each step.

    A part that does not learn must not drop paths or activations either.
    """

    def settle(part: nn.Module, inputs: object) -> None:
        if part.training:
            part.eval()

    module.register_forward_pre_hook(settle)


def parameter_groups(model: nn.Module, args: StageArguments) -> list[dict[str, Any]]:
    """Return the optimizer's groups: one for each part and kind of decay that has parameters.

    Args:
        model: Parameters that do not require a gradient are left out.
        args: Learning rates and weight decay.

    Returns:
        Groups with `params`, `lr`, `weight_decay` and, to read logs by, `name`.
    """
    rates: dict[Part, float | None] = {
        "encoder": args.encoder_learning_rate,
        "projector": args.projector_learning_rate,
        "adapter": args.adapter_learning_rate,
        "language_model": None,
    }
    groups: dict[tuple[Part, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((part_of(name), decays(name, parameter)), []).append(parameter)
    built = []
    for (part, decayed), parameters in groups.items():
        rate = rates[part]
        built.append(
            {
                "name": f"{part}{'' if decayed else ' (no decay)'}",
                "params": parameters,
                "lr": args.learning_rate if rate is None else rate,
                "weight_decay": args.weight_decay if decayed else 0.0,
            }
        )
    return built


class PartsTrainer(Trainer):
    """The library's Trainer with a learning rate for each part of the model."""

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return the optimizer over `parameter_groups`, built once.

        Args:
            model: The wrapped model, under FSDP; else the Trainer's own is meant.
        """
        if self.optimizer is None:
            trained = self.model if model is None else model
            assert isinstance(trained, nn.Module)
            assert isinstance(self.args, StageArguments)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args)
            self.optimizer = kind(parameter_groups(trained, self.args), **options)
        return self.optimizer
