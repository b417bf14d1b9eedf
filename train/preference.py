"""TRL's DPOTrainer for a VideoLLM: our samples, learning rates by part, videos encoded once.

Loss, rewards and the reference are TRL's. What it cannot take from us is put in its place here:
its samples come from tables (ours are read from videos), its head asks a text model's backbone,
and it rounds what learns beside a quantized model, writes a card and reports to its authors.

Source: direct preference optimization (arXiv 2305.18290), equation 7; huggingface/trl
`trl/trainer/dpo_trainer.py`, release 1.16.

Legend: B pairs, L tokens, M supervised positions of all 2 B rows, V vocabulary.
"""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import datasets
from peft import PeftModel
from torch import Tensor
from torch.utils.data import Dataset
from transformers.utils.generic import ModelOutput
from trl import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from videollm.lora import unwrap_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor
from videollm.train.parts import PartsTrainer
from videollm.train.stage_arguments import StageArguments
from videollm.visual_passes import encode_in_step

__all__ = ["REFERENCE", "PreferenceTrainer"]

REFERENCE = "ref"
"""What TRL calls the copy of an adapter that training begins with."""


@dataclass
class _Scores(ModelOutput):
    """What TRL reads of an answer, each (2 B, L - 1), 0 where nothing is supervised."""

    log_probs: Tensor | None = None
    entropy: Tensor | None = None
    mean_logits: Tensor | None = None
    is_top1: Tensor | None = None


class PreferenceTrainer(PartsTrainer, DPOTrainer):
    """Learn from pairs of answers, the reference being the model as it was.

    Args:
        model: The model with its adapter.
        args: Of the run.
        train_dataset: Examples of two dialogues, the wanted one first.
        processor: That of the model.
        beta: How strongly the model is held to the reference, above 0.
        is_fresh: Whether the adapter has learnt nothing yet: the reference is then the model with
            the adapter off; else with a frozen copy of the adapter.
        kwargs: As `PartsTrainer` takes them.
    """

    _tag_names: Sequence[str] = ()

    def __init__(
        self,
        model: PeftModel,
        *,
        args: StageArguments,
        train_dataset: Dataset[Any],
        processor: VideoLLMProcessor,
        beta: float,
        is_fresh: bool,
        **kwargs: Any,
    ) -> None:
        self._samples = train_dataset
        learning = {name: item for name, item in model.named_parameters() if item.requires_grad}
        exact = {name: item.data for name, item in learning.items()}
        _complete(args, beta=beta)
        super().__init__(
            model=model,
            args=args,
            train_dataset=datasets.Dataset.from_dict({"sample": [0]}),
            processing_class=processor,
            **kwargs,
        )
        for name, item in learning.items():
            item.data = exact[name]
        for name, item in model.named_parameters():
            item.requires_grad_(name in learning)
        if is_fresh:
            model.delete_adapter(REFERENCE)
        # The Trainer would write the tokenizer's special tokens into the model's config.
        self.processing_class = None
        base = unwrap_adapter(model)
        vars(base)["forward"] = MethodType(_with_scores(type(base).forward), base)

    def _prepare_dataset(self, dataset: object, *args: object) -> Dataset[Any]:
        """Put our samples in the place of the table that TRL asks for."""
        return self._samples

    def _send_telemetry(self) -> None:
        """Report nothing to anyone."""

    def create_model_card(self, *args: object, **kwargs: object) -> None:
        """Write none: the run's own card says more."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - TRL's own
        """Return TRL's loss, without remarks on names that transformers has given up."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*gradient_checkpointing")
            return super().compute_loss(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log without TRL's count of tokens, which a resumed run begins anew."""
        for metrics in self._metrics.values():
            metrics.pop("num_tokens", None)
        super().log(logs, start_time)


def _complete(args: StageArguments, *, beta: float) -> None:
    """Give a run's arguments what TRL reads besides, at TRL's defaults; samples are never cut."""
    ours = {item.name for item in dataclasses.fields(args)}
    for item in dataclasses.fields(DPOConfig):
        if item.name not in ours:
            factory = item.default_factory
            value = item.default if factory is dataclasses.MISSING else factory()
            setattr(args, item.name, value)
    vars(args).update(beta=beta, max_length=None)


def _with_scores(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the model's forward that, asked as TRL asks, scores the labelled tokens.

    Videos are encoded once for the wanted and the unwanted answer.
    """

    @functools.wraps(forward)
    def scored(
        self: VideoLLMForConditionalGeneration,
        *args: Any,
        fused_lm_head: bool = False,
        **given: Any,
    ) -> Any:  # noqa: ANN401 - what the wrapped one returns
        if not fused_lm_head:
            return forward(self, *args, **given)
        pixels, counts = given.pop("pixel_values", None), given.pop("frame_counts", None)
        features = encode_in_step(self.vision_model, pixels, counts)
        given["video_features"] = [*features, *features]
        logits = forward(self, *args, **given).logits
        return _score(logits, given["labels"][:, 1:])

    return scored


def _score(logits: Tensor, wanted: Tensor) -> _Scores:
    """Return scores of tokens (2 B, L - 1) from logits (M, V) at the places that are wanted."""
    places = wanted != -100
    shares = logits.log_softmax(-1)
    tokens = wanted[places]

    def spread(values: Tensor) -> Tensor:
        return values.new_zeros(places.shape).masked_scatter(places, values)

    return _Scores(
        log_probs=spread(shares.gather(-1, tokens[:, None])[:, 0]),
        entropy=spread(-(shares.exp() * shares).sum(-1).detach()),
        mean_logits=spread(logits.mean(-1).detach()),
        is_top1=spread(logits.argmax(-1) == tokens),
    )
