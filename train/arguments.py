"""What can be set in a training run: one flat dataclass a subject, with the help of each field.

A recipe (YAML) and the command line fill these; `videollm.train.recipe` merges them. The fields
are flat because `HfArgumentParser` knows no nesting. Nothing here loads a model or data.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transformers import TrainingArguments

from videollm.errors import RecipeError

__all__ = [
    "AdapterArguments",
    "AlignArguments",
    "DataArguments",
    "EncoderArguments",
    "ModelArguments",
    "PretrainArguments",
    "StageArguments",
]


def _help(text: str) -> dict[str, Any]:
    return {"help": text}


def _mapping(name: str, value: dict[str, Any] | str | None) -> dict[str, Any]:
    """Return a mapping given in a recipe, or as JSON on the command line."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise RecipeError(
                f'{name}: {value!r} is not JSON ({error}); write it as {{"key": value}}'
            ) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RecipeError(f"{name}: a mapping is expected, {value!r} was given")
    return value


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise RecipeError(message)


@dataclass(kw_only=True)
class EncoderArguments:
    """Which encoder a run starts from."""

    encoder: str = field(
        default="demo",
        metadata=_help("preset (demo, tiny, small, middle, base, large) or a trained folder"),
    )
    encoder_overrides: dict[str, Any] | str | None = field(
        default=None,
        metadata=_help('fields that replace those of the preset, as {"hidden_size": 64}'),
    )

    def __post_init__(self) -> None:
        self.encoder_overrides = _mapping("encoder_overrides", self.encoder_overrides)


@dataclass(kw_only=True)
class ModelArguments(EncoderArguments):
    """Which VideoLLM a run starts from: an earlier stage, or an encoder and a language model."""

    model: str | None = field(
        default=None,
        metadata=_help("folder of an earlier stage; its encoder, projector and LLM go on"),
    )
    language_model: str | None = field(
        default=None,
        metadata=_help("LLM by name or folder (default: the packaged one, or that of `model`)"),
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = field(
        default="auto",
        metadata=_help("type of the frozen LLM's weights; auto: bfloat16 where it is fast"),
    )
    projector_type: str = field(default="pool_mlp", metadata=_help("kind of a fresh projector"))
    tokens_per_frame: int = field(
        default=16, metadata=_help("visual tokens of each frame (each tubelet), when fresh")
    )


@dataclass(kw_only=True)
class DataArguments:
    """What a run learns from."""

    dataset: Literal["toyworld", "llava", "videos"] = field(
        default="toyworld",
        metadata=_help("toyworld: drawn in memory; llava: JSON/JSONL; videos: files, no text"),
    )
    num_frames: int = field(default=16, metadata=_help("frames of a clip"))
    num_clips: int = field(default=10_000, metadata=_help("toyworld: clips in one epoch"))
    questions_per_clip: int = field(
        default=10, metadata=_help("toyworld: questions that share one clip, 1 or more")
    )
    families: list[str] = field(
        default_factory=list,
        metadata=_help("toyworld: question families to ask (default: all but captions)"),
    )
    choice_fraction: float = field(
        default=0.0, metadata=_help("toyworld: share of multiple-choice questions, 0 to 1")
    )
    world_seed: int = field(default=0, metadata=_help("toyworld: seed of scenes and questions"))
    validation_clips: int = field(
        default=0, metadata=_help("toyworld: clips of the split `val` to evaluate on, 0 for none")
    )
    data_path: list[str] = field(
        default_factory=list,
        metadata=_help("llava: JSON/JSONL files; videos: files, folders or lists (.txt)"),
    )
    media_folder: str | None = field(
        default=None,
        metadata=_help("where relative media paths start (default: beside their list)"),
    )
    max_bad: float = field(
        default=0.05, metadata=_help("share of bad samples, 0 to 1, beyond which a run fails")
    )
    max_length: int = field(
        default=2048, metadata=_help("tokens of a row; dialogues that do not fit are dropped")
    )

    def __post_init__(self) -> None:
        for name in ("num_frames", "num_clips", "questions_per_clip", "max_length"):
            _require(
                getattr(self, name) >= 1, f"{name}: {getattr(self, name)} given, 1 or more allowed"
            )
        for name in ("max_bad", "choice_fraction"):
            _require(
                0 <= getattr(self, name) <= 1,
                f"{name}: {getattr(self, name)} given, 0 to 1 allowed",
            )
        _require(
            self.dataset == "toyworld" or bool(self.data_path),
            f"dataset {self.dataset} needs data_path: give at least one file",
        )


@dataclass(kw_only=True)
class PretrainArguments:
    """What the encoder predicts while it is pretrained."""

    teacher: Literal["scene", "pixels"] = field(
        default="scene",
        metadata=_help("scene: what the toy world drew in each cell; pixels: the frames alone"),
    )
    keep_ratios: list[float] = field(
        default_factory=lambda: [1.0, 0.5, 0.25],
        metadata=_help("shares of visible tokens; each batch draws one"),
    )
    subclip_frames: int = field(
        default=0, metadata=_help("frames of a short window of a clip, 0 to always see it whole")
    )
    subclip_share: float = field(
        default=0.5, metadata=_help("share of batches that see a short window only")
    )
    prediction_weight: float = field(default=1.0, metadata=_help("weight of predicting tokens"))
    alignment_weight: float = field(
        default=1.0, metadata=_help("weight of aligning visible tokens with the teacher")
    )
    alignment_layers: list[int] = field(
        default_factory=lambda: [-1], metadata=_help("layers to align, -1 being the output")
    )
    decoder_layers: int = field(default=4, metadata=_help("blocks of the decoder"))
    decoder_hidden_size: int = field(default=192, metadata=_help("width of the decoder"))
    decoder_attention_heads: int = field(default=6, metadata=_help("heads of the decoder"))
    decoder_context: Literal["past", "past_and_present"] = field(
        default="past", metadata=_help("frames whose visible tokens a prediction may use")
    )

    def __post_init__(self) -> None:
        _require(
            bool(self.keep_ratios) and all(0 < keep <= 1 for keep in self.keep_ratios),
            f"keep_ratios: {self.keep_ratios} given, shares above 0 and up to 1 allowed",
        )
        _require(
            0 <= self.subclip_share <= 1,
            f"subclip_share: {self.subclip_share} given, 0 to 1 allowed",
        )


@dataclass(kw_only=True)
class AlignArguments:
    """How the projector learns the language model's vocabulary."""

    objective: Literal["words", "caption"] = field(
        default="words",
        metadata=_help("words: match embeddings of what is seen (toyworld); caption: LM loss"),
    )
    norm_weight: float = field(
        default=1.0, metadata=_help("words: weight of the squared error beside the cosine")
    )
    place_weight: float = field(
        default=0.5, metadata=_help("words: weight of words for a token's place in the frame")
    )


@dataclass(kw_only=True)
class AdapterArguments:
    """Shape of the LoRA adapter."""

    lora_rank: int = field(default=16, metadata=_help("rank of the update of each linear layer"))
    lora_alpha: int = field(default=32, metadata=_help("the update is scaled by alpha / rank"))
    lora_dropout: float = field(default=0.0, metadata=_help("dropout before the update, 0 to 1"))
    train_projector: bool = field(
        default=True, metadata=_help("train the projector too, at projector_learning_rate")
    )

    def __post_init__(self) -> None:
        _require(self.lora_rank >= 1, f"lora_rank: {self.lora_rank} given, 1 or more allowed")
        _require(
            0 <= self.lora_dropout < 1, f"lora_dropout: {self.lora_dropout} given, [0, 1) allowed"
        )


@dataclass(kw_only=True)
class StageArguments(TrainingArguments):
    """Hugging Face's training arguments, our defaults, and what a run of ours needs besides."""

    resume: str = field(
        default="auto",
        metadata=_help("auto: newest complete checkpoint of output_dir; never; or its folder"),
    )
    encoder_learning_rate: float | None = field(
        default=None, metadata=_help("rate of the encoder (default: learning_rate)")
    )
    projector_learning_rate: float | None = field(
        default=None, metadata=_help("rate of the projector (default: learning_rate)")
    )
    adapter_learning_rate: float | None = field(
        default=None, metadata=_help("rate of the LoRA adapter (default: learning_rate)")
    )
    remove_unused_columns: bool = field(
        default=False, metadata=_help("kept False: the collators need every field of a sample")
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata=_help("kept False: a loss that is not finite ends the run")
    )
    save_total_limit: int | None = field(
        default=2, metadata=_help("checkpoints to keep, 2 or more, so that one is complete")
    )
    logging_steps: float = field(default=10, metadata=_help("steps between two logged losses"))
    dataloader_pin_memory: bool = field(
        default=False, metadata=_help("copy batches through pinned memory (for GPUs)")
    )

    def __post_init__(self) -> None:
        _require(self.output_dir is not None, "output_dir: nothing given; add --output_dir FOLDER")
        for name in ("remove_unused_columns", "logging_nan_inf_filter"):
            _require(not getattr(self, name), f"{name}: only false is allowed here; leave it out")
        _require(
            self.save_total_limit is None or self.save_total_limit >= 2,
            f"save_total_limit: {self.save_total_limit} given, 2 or more allowed: while the newest "
            "checkpoint is being written the one before is the only complete one",
        )
        _require(
            self.resume_from_checkpoint is None,
            "resume_from_checkpoint: not read here; use resume: auto, never or a folder",
        )
        if self.data_seed is None:
            self.data_seed = self.seed
        super().__post_init__()  # type: ignore[no-untyped-call]

    @property
    def folder(self) -> Path:
        """Folder that everything of this run goes to."""
        assert self.output_dir is not None
        return Path(self.output_dir)
