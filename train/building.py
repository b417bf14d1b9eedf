"""Models for the stages: a fresh encoder or a trained one, and a VideoLLM around it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from videollm import encoder as encoders
from videollm.config import VideoLLMConfig
from videollm.encoder import VideoMAPConfig, VideoMAPForVideoClassification, VideoMAPModel
from videollm.errors import ModelError, RecipeError
from videollm.llm import DEFAULT_LLM, load_tokenizer
from videollm.loading import load_base, resolve_model
from videollm.model import VideoLLMForConditionalGeneration
from videollm.packing import prepare_packing
from videollm.processor import VideoLLMProcessor
from videollm.quantize import quantization_config
from videollm.runtime import pick_dtype
from videollm.train.arguments import DataArguments, EncoderArguments, ModelArguments
from videollm.train.collate import PackingCollator, PaddingCollator
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.sharding import built_whole
from videollm.train.stage import Run

__all__ = [
    "PRESETS",
    "build_collator",
    "build_encoder",
    "build_processor",
    "build_videollm",
    "checked",
    "load_trained",
    "vision_config",
]

Trained = TypeVar("Trained", VideoMAPModel, VideoMAPForVideoClassification)

_FREE_FIELDS = frozenset({"drop_path_rate"})
"""What a trained encoder may be given anew: no weight depends on it."""

PRESETS = ("demo", "tiny", "small", "middle", "base", "large")


@contextmanager
def checked(source: str) -> Iterator[None]:
    """Turn what a config refuses (a `ValueError` naming the field) into a `RecipeError`."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if isinstance(error, RecipeError | ModelError):
            raise
        raise RecipeError(f"{source}: {' '.join(str(error).split())}") from error


def build_encoder(args: EncoderArguments) -> VideoMAPModel:
    """Return a fresh encoder of a preset, or the trained one of a folder, in float32.

    Raises:
        RecipeError: An override does not fit.
        ModelError: There is no such preset or folder.
    """
    if args.encoder in PRESETS:
        return VideoMAPModel(_preset_config(args))
    overrides = args.encoder_overrides
    assert isinstance(overrides, dict)
    if not (Path(args.encoder) / "config.json").is_file():
        raise ModelError(
            f"encoder: {args.encoder} is neither a preset ({', '.join(PRESETS)}) nor a folder "
            "with config.json; pretrain writes one to OUT/encoder"
        )
    fixed = sorted(set(overrides) - _FREE_FIELDS)
    if fixed:
        raise RecipeError(
            f"encoder_overrides: {', '.join(fixed)}: a trained encoder has its own config; leave "
            f"out all but {', '.join(_FREE_FIELDS)}"
        )
    return load_trained(VideoMAPModel, Path(args.encoder), source="encoder", overrides=overrides)


def _preset_config(args: EncoderArguments) -> VideoMAPConfig:
    assert isinstance(args.encoder_overrides, dict)
    with checked("encoder_overrides"):
        config: VideoMAPConfig = getattr(encoders, f"{args.encoder}_config")(
            **args.encoder_overrides
        )
    return config


def load_trained(
    kind: type[Trained], folder: Path, *, source: str, overrides: Mapping[str, Any] | None = None
) -> Trained:
    """Return a model of a folder, in float32, with every weight from there.

    Args:
        kind: Its class.
        folder: Holds config.json and the weights; further weights are passed over.
        source: The argument that named it.
        overrides: Fields that replace those of its config.

    Raises:
        RecipeError: An override does not fit.
        ModelError: It is of another kind, or its weights are missing or of another size.
    """
    with checked(f"{source}: {folder / 'config.json'}"):
        fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    found = fields.get("model_type")
    if found != VideoMAPConfig.model_type:
        raise ModelError(
            f"{source}: {folder} holds a model of type {found!r}, not an encoder "
            f"({VideoMAPConfig.model_type!r}); pretrain writes one to OUT/encoder"
        )
    with checked(f"{source}: {folder}"):
        config = VideoMAPConfig.from_dict({**fields, **(overrides or {})})
    try:
        loaded: Any = kind.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ModelError(f"{source}: {folder}: {' '.join(str(error).split())}") from error
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"{source}: {folder} lacks {len(missing)} weights of a {kind.__name__}, the first "
            f"{missing[0]}: it holds another model"
        )
    trained: Trained = model
    return trained


def vision_config(encoder: VideoMAPModel) -> VideoMAPConfig:
    """Return an encoder's config, typed."""
    assert isinstance(encoder.config, VideoMAPConfig)
    return encoder.config


def build_collator(
    model: VideoLLMForConditionalGeneration, processor: VideoLLMProcessor, data: DialogueArguments
) -> PackingCollator | PaddingCollator:
    """Return what makes batches of samples, the model's attention made ready for it.

    Raises:
        ModelError: The language model cannot tell the samples of a row apart.
    """
    if not data.packing:
        return PaddingCollator(processor=processor, max_length=data.max_length)
    prepare_packing(model.language_model)
    return PackingCollator(processor=processor, max_length=data.max_length)


def build_processor(args: ModelArguments, data: DataArguments) -> VideoLLMProcessor:
    """Return the processor of the model that `build_videollm` returns, without its weights.

    Raises:
        RecipeError: An override does not fit.
        ModelError: The model cannot be had.
    """
    if args.model is not None:
        return VideoLLMProcessor.from_pretrained(resolve_model(args.model)[0])
    is_preset = args.encoder in PRESETS
    config = _preset_config(args) if is_preset else vision_config(build_encoder(args))
    return VideoLLMProcessor(
        load_tokenizer(args.language_model or DEFAULT_LLM),
        image_size=config.image_size,
        tubelet_size=config.tubelet_size,
        tokens_per_frame=args.tokens_per_frame,
        num_frames=data.num_frames,
    )


def build_videollm(
    run: Run, args: ModelArguments, data: DataArguments, *, quantization: str | None = None
) -> tuple[VideoLLMForConditionalGeneration, VideoLLMProcessor]:
    """Return the model of an earlier stage, or one with a fresh projector, and its processor.

    Args:
        run: The run; a quantized language model goes to its device.
        args: The model.
        data: Frames of a clip, for a fresh processor.
        quantization: Of the language model: None, "nf4" or "int8".

    Raises:
        RecipeError: Arguments contradict each other.
        ModelError: A model cannot be had.
    """
    with built_whole():
        return _build(run, args, data, quantization)


def _build(
    run: Run, args: ModelArguments, data: DataArguments, quantization: str | None
) -> tuple[VideoLLMForConditionalGeneration, VideoLLMProcessor]:
    dtype = pick_dtype(args.dtype, run.args.device)
    if args.model is not None:
        if args.language_model is not None:
            raise RecipeError("language_model: the one of `model` is used; leave one of them out")
        model, processor = load_base(
            resolve_model(args.model).base,
            dtype=dtype,
            quantization=quantization,
            device=run.args.device,
        )
        _choose_attention(model, args.attn_implementation)
        _forget_paths(model)
        return model, processor
    encoder = build_encoder(args)
    name = args.language_model or DEFAULT_LLM
    with checked("model"):
        model = VideoLLMForConditionalGeneration.from_parts(
            encoder,
            name,
            dtype=dtype,
            quantization=None if quantization is None else quantization_config(quantization, dtype),
            device="cpu" if quantization is None else run.args.device,
            projector_type=args.projector_type,
            tokens_per_frame=args.tokens_per_frame,
        )
    assert isinstance(model.config, VideoLLMConfig)
    processor = VideoLLMProcessor.from_config(
        model.config, load_tokenizer(name), num_frames=data.num_frames
    )
    _choose_attention(model, args.attn_implementation)
    _forget_paths(model)
    return model, processor


def _choose_attention(model: VideoLLMForConditionalGeneration, name: str | None) -> None:
    """Set how the language model attends; None leaves it to the library."""
    if name is None:
        return
    language_model = model.language_model
    try:
        language_model.set_attn_implementation(name)
    except (ImportError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"attn_implementation: {name}: {reason}") from error
    if language_model.config._attn_implementation != name:
        raise ModelError(
            f"attn_implementation: {name}: a {type(language_model).__name__} has only "
            f"{language_model.config._attn_implementation}: leave it out"
        )


def _forget_paths(model: VideoLLMForConditionalGeneration) -> None:
    """Leave this machine's cache out of what is saved; `text_model` names the language model."""
    assert isinstance(model.config, VideoLLMConfig)
    if model.config.text_model is not None:
        model.config.text.name_or_path = ""
