"""Which parts of a model learn, and how fast: freezing, and a learning rate for each part.

Parts are told by parameter names: the encoder, the projector, the adapter (LoRA), and the
language model. Inside an encoder the rate may fall with depth.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from transformers import Trainer

from videollm.errors import RecipeError
from videollm.train.draws import DrawSampler, FreshDraws
from videollm.train.lengths import LengthGroupSampler
from videollm.train.mixture import Mixture
from videollm.train.rows import Rows
from videollm.train.stage_arguments import StageArguments

__all__ = [
    "PART_NAMES",
    "Part",
    "PartsTrainer",
    "decays",
    "encoder_depth",
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

_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
_STEM = re.compile(r"(^|\.)(embed|cls_token)(\.|$)")


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


def encoder_depth(name: str) -> int | None:
    """Return how deep in the encoder a parameter lies: 0 for what comes before its layers.

    Layer i, Mamba or Transformer alike, is at i + 1; None is behind the last layer: the last
    norm and every head.
    """
    match = _LAYER.search(name)
    if match:
        return int(match.group(1)) + 1
    return 0 if _STEM.search(name) else None


def parameter_groups(model: nn.Module, args: StageArguments) -> list[dict[str, Any]]:
    """Return the optimizer's groups: one for each part, depth and kind of decay that there is.

    With `layer_decay` d, a parameter of the encoder that has n layers above it, the head counted
    as one, learns at the rate of the encoder times d ** n.

    Args:
        model: Parameters that do not require a gradient are left out.
        args: Learning rates, their decay with depth, and weight decay.

    Returns:
        Groups with `params`, `lr`, `weight_decay` and, to read logs by, `name`.

    Source: layer-wise rates as in BEiT (arXiv 2106.08254), section 3.1.
    """
    rates: dict[Part, float | None] = {
        "encoder": args.encoder_learning_rate,
        "projector": args.projector_learning_rate,
        "adapter": args.adapter_learning_rate,
        "language_model": None,
    }
    named = [(name, item) for name, item in model.named_parameters() if item.requires_grad]
    depths = {
        name: encoder_depth(name) if part_of(name) == "encoder" else None for name, _ in named
    }
    top = 1 + max((depth for depth in depths.values() if depth is not None), default=0)
    groups: dict[tuple[Part, int, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        depth = depths[name]
        below = 0 if depth is None or args.layer_decay == 1.0 else top - depth
        groups.setdefault((part_of(name), below, decays(name, parameter)), []).append(parameter)
    built = []
    for (part, below, decayed), parameters in groups.items():
        rate = args.learning_rate if rates[part] is None else rates[part]
        assert rate is not None
        place = f", {below} below the head" if below else ""
        built.append(
            {
                "name": f"{part}{place}{'' if decayed else ' (no decay)'}",
                "params": parameters,
                "lr": rate * args.layer_decay**below,
                "weight_decay": args.weight_decay if decayed else 0.0,
            }
        )
    return built


Batch = dict[str, Tensor]


class PartsTrainer(Trainer):
    """The library's Trainer with learning rates by part, numbered draws, and a teacher's place.

    Args:
        complete: Called with every batch once it is on the device; None: batches are complete.
        kwargs: The library's own arguments.
    """

    def __init__(self, *, complete: Callable[[Batch], Batch] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._complete = complete

    def _prepare_inputs(self, inputs: Batch) -> Batch:
        inputs = super()._prepare_inputs(inputs)
        return inputs if self._complete is None else self._complete(inputs)

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[Any] | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        assert isinstance(self.args, StageArguments)
        seed, batch_size = self.args.data_seed, self.args.samples_per_step
        assert seed is not None
        if isinstance(dataset, Rows):
            return dataset.sampler(batch_size)
        if self.args.train_sampling_strategy == "group_by_length":
            if not isinstance(dataset, Mixture):
                raise RecipeError(
                    "train_sampling_strategy: group_by_length: these samples have no lengths; "
                    "leave it out"
                )
            return LengthGroupSampler(
                len(dataset), seed, tokens=dataset.tokens, batch_size=batch_size
            )
        if isinstance(dataset, FreshDraws):
            return DrawSampler(len(dataset), seed, batch_size=batch_size)
        sampler: Sampler[Any] | None = super()._get_train_sampler(train_dataset)
        return sampler

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
