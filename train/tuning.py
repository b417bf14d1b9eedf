"""Which weights `instruct` teaches: an adapter beside the language model, or all of it.

Either kind is prepared before training, and written as a folder that loads again: the base with
`adapter/`, or one full model.
"""

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from videollm.adapter_record import describe_base
from videollm.errors import RecipeError
from videollm.loading import ADAPTER_FOLDER, Source, resolve_model
from videollm.lora import ADAPTER_CONFIG, attach_lora, load_adapter, merge_adapter, save_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.model_folder import own_weights, read_json
from videollm.quantize import is_quantized
from videollm.train.adapter_arguments import AdapterArguments
from videollm.train.arguments import ModelArguments
from videollm.train.parts import Part, freeze_all_but, keep_evaluating
from videollm.train.stage import Run

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["Tuning", "model_arguments", "prepare_tuning"]

logger = logging.getLogger(__name__)

_RESUMED_FIELDS = {
    "tuning": "use_dora",
    "lora_rank": "r",
    "lora_alpha": "lora_alpha",
    "lora_targets": "target_modules",
    "lora_rslora": "use_rslora",
    "modules to save": "modules_to_save",
}


class Tuning(Protocol):
    """A model that is ready to be taught, and how it is written."""

    @property
    def trained(self) -> nn.Module:
        """What the Trainer gets."""

    @property
    def description(self) -> str | None:
        """What the adapter is, in words; None without one."""

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Write the folder, all but the processor.

        Args:
            folder: Where it goes.
            state: All weights of `trained`, as `whole_state` returns them.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterTuning:
    """An adapter on a frozen base.

    Attributes:
        trained: The model with the adapter.
        description: Kind, rank and scale in words.
        record: What the adapter remembers of its base.
        base: The base's weights as they were, or the folder that holds them.
    """

    trained: "PeftModel"
    description: str
    record: dict[str, Any]
    base: dict[str, Tensor] | Path

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Write the base as it was, and the adapter into `adapter/`."""
        model = self.trained.get_base_model()
        assert isinstance(model, VideoLLMForConditionalGeneration)
        if isinstance(self.base, Path):
            for path in self.base.glob("*.safetensors*"):
                if not (folder / path.name).exists() or not path.samefile(folder / path.name):
                    shutil.copyfile(path, folder / path.name)
            vars(model.config).pop("quantization_config", None)
            model.config.save_pretrained(folder)
        else:
            model.save_pretrained(folder, state_dict=self.base)
        save_adapter(
            self.trained,
            folder / ADAPTER_FOLDER,
            record=self.record,
            base=str(folder),
            state=state,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FullTuning:
    """A model whose language model learns with every weight.

    Attributes:
        trained: The model; its folder holds all weights.
    """

    trained: VideoLLMForConditionalGeneration
    description: None = None

    def save(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Write the model with all its weights."""
        self.trained.save_pretrained(folder, state_dict=state)


def model_arguments(given: ModelArguments, tuning: AdapterArguments) -> ModelArguments:
    """Return the model arguments with the number format that a tuning needs.

    Small steps are lost in bfloat16 weights: what learns is in float32 unless a recipe asks for
    less. (An adapter, the projector and the encoder are in float32 in any case.)
    """
    if tuning.tuning == "full" and given.dtype == "auto":
        return replace(given, dtype="float32")
    return given


def prepare_tuning(
    run: Run,
    model: VideoLLMForConditionalGeneration,
    model_args: ModelArguments,
    tuning: AdapterArguments,
) -> Tuning:
    """Return a model of which the right parts learn; the rest is frozen and keeps evaluating.

    Args:
        run: The run.
        model: As `build_videollm` returned it, an earlier adapter not yet on it.
        model_args: Where it came from. An adapter there goes on; with `tuning: full` it is
            merged first.
        tuning: What learns.

    Raises:
        RecipeError: Arguments contradict each other or the earlier adapter.
        ModelError: The earlier adapter does not fit.
    """
    source = None if model_args.model is None else resolve_model(model_args.model)
    prepared: Tuning
    if tuning.tuning == "full":
        prepared = _full(model, source, tuning)
    else:
        prepared = _adapter(model, source, tuning)
    if run.checkpoint is not None:
        _check_checkpoint(run.checkpoint, prepared)
    if not tuning.train_encoder:
        keep_evaluating(model.vision_model)
    # Nothing of this machine's folders is written into checkpoints.
    model.name_or_path = ""
    return prepared


def _full(
    model: VideoLLMForConditionalGeneration, source: Source | None, tuning: AdapterArguments
) -> FullTuning:
    if source is not None and source.adapter is not None:
        logger.info("%s is merged into the weights, which all learn", source.adapter)
        own = source.is_own_adapter
        model = merge_adapter(load_adapter(model, source.adapter, own_base=own))
    model.config.text_model = None
    learning: list[Part] = ["language_model"]
    if tuning.train_projector:
        learning.append("projector")
    if tuning.train_encoder:
        learning.append("encoder")
    freeze_all_but(model, learning)
    return FullTuning(trained=model)


def _adapter(
    model: VideoLLMForConditionalGeneration, source: Source | None, tuning: AdapterArguments
) -> AdapterTuning:
    record = describe_base(model)
    base: dict[str, Tensor] | Path
    if is_quantized(model) and model.config.text_model is None:
        assert source is not None
        base = source.base
    else:
        base = own_weights(model)
    if source is None or source.adapter is None:
        adapted = attach_lora(model, tuning.shape)
    else:
        _check_earlier(source.adapter, tuning)
        adapted = load_adapter(
            model, source.adapter, is_trainable=True, own_base=source.is_own_adapter
        )
    config: Any = adapted.peft_config["default"]
    # PEFT looks for the base's config whenever it saves, on the hub if need be.
    config.base_model_name_or_path = ""
    kind = "DoRA" if config.use_dora else "LoRA"
    bits = ", trained on a language model in 4 bits (nf4)" if is_quantized(model) else ""
    return AdapterTuning(
        trained=adapted,
        description=f"{kind}, rank {config.r}, alpha {config.lora_alpha}{bits}",
        record=record,
        base=base,
    )


def _check_checkpoint(checkpoint: Path, prepared: Tuning) -> None:
    """Refuse to go on from a checkpoint of another tuning, which would not load or not fit."""
    if any(checkpoint.glob("pytorch_model_fsdp*")):
        return  # shares of weights (FSDP) do not say what they are
    path = checkpoint / ADAPTER_CONFIG
    there = read_json(path) if path.is_file() else {}
    here: dict[str, Any] = {}
    if isinstance(prepared, AdapterTuning):
        here = prepared.trained.peft_config["default"].to_dict()
    names = [name for name, field in _RESUMED_FIELDS.items() if there.get(field) != here.get(field)]
    if names:
        raise RecipeError(
            f"resume: {checkpoint} was written with another {' and '.join(names)}: give the "
            "values that the run began with (recipe.yaml has them), or start anew with "
            "--resume never"
        )


def _check_earlier(adapter: Path, tuning: AdapterArguments) -> None:
    """Refuse arguments that the adapter which goes on contradicts."""
    there = read_json(adapter / ADAPTER_CONFIG)
    dora = bool(there.get("use_dora"))
    if dora != (tuning.tuning == "dora"):
        raise RecipeError(
            f"tuning: {tuning.tuning} given, and {adapter} is {'DoRA' if dora else 'plain LoRA'}: "
            f"go on with tuning: {'dora' if dora else 'lora'}, or start from what 'videollm "
            "merge' writes"
        )
    saved = set(there.get("modules_to_save") or ())
    if saved != set(tuning.modules):
        raise RecipeError(
            f"{adapter} trains {', '.join(sorted(saved)) or 'nothing'} beside the language model, "
            f"asked for is {', '.join(sorted(tuning.modules)) or 'nothing'}: set train_projector, "
            "train_encoder and modules_to_save alike, or start from what 'videollm merge' writes"
        )
