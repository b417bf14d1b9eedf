"""Published weights in a file to a model folder that `from_pretrained` reads.

Nothing in a file is run: pickles are read for tensors and plain values only.
"""

import argparse
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from videollm.encoder.convert import Conversion, convert_videomamba, unwrap_state_dict
from videollm.errors import ModelError
from videollm.output_folder import replacing, require_free
from videollm.runtime import quiet_transformers

__all__ = ["convert_videomamba_file", "read_weights"]


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors by name in a file of torch (.pth, .pt, .bin) or of safetensors.

    Args:
        path: A state dict, plain or inside a training checkpoint.

    Raises:
        ModelError: There is no such file, or it holds something else.
    """
    file = Path(path)
    if not file.is_file():
        finding = "is a folder" if file.is_dir() else "no such file"
        raise ModelError(f"{file}: {finding}; give the checkpoint's file (.pth or .safetensors)")
    try:
        if file.suffix == ".safetensors":
            loaded: object = load_file(file)
        else:
            # Training checkpoints hold the settings of their run as a Namespace: plain data.
            with torch.serialization.safe_globals([argparse.Namespace]):
                loaded = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # a damaged pickle makes its reader stumble in any way
        raise ModelError(
            f"{file}: it is damaged, no checkpoint, or holds objects that could run code; give "
            "a state dict in a file of torch.save or of safetensors"
        ) from error
    try:
        return unwrap_state_dict(loaded)
    except ValueError as error:
        raise ModelError(f"{file}: {error}") from error


def convert_videomamba_file(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    layer_pattern: str = "M",
    image_size: int | None = None,
    num_frames: int | None = None,
    tubelet_size: int | None = None,
) -> Conversion:
    """Write a published VideoMamba checkpoint as a model folder, whole or not at all.

    How the weights are placed is told by `videollm.encoder.convert_videomamba`.

    Args:
        checkpoint: File of a classifier or of masked pretraining.
        output: New or empty folder.
        layer_pattern: "M" for VideoMamba itself, "MMMMT" with silent Transformer layers.
        image_size: Side of a picture in pixels; None: the checkpoint's own.
        num_frames: Frames of a clip; None: the checkpoint's own.
        tubelet_size: Frames of a token, for weights of an image model only; None: 1.

    Returns:
        The model and the account of its keys.

    Raises:
        ModelError: The file cannot be read, is no VideoMamba or does not fit an argument, or the
            folder cannot be filled.
        DataError: The folder may not be written.
    """
    folder = Path(output)
    require_free(folder)
    weights = read_weights(checkpoint)
    try:
        conversion = convert_videomamba(
            weights,
            layer_pattern=layer_pattern,
            image_size=image_size,
            num_frames=num_frames,
            tubelet_size=tubelet_size,
        )
    except ValueError as error:
        raise ModelError(f"{checkpoint}: {error}") from error
    try:
        with quiet_transformers(), replacing(folder) as draft:
            conversion.model.save_pretrained(draft)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder}: cannot be written ({error}): is there room?") from error
    return conversion
