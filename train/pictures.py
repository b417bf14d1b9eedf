"""Pictures of what an encoder in pretraining sees, predicts and misses, drawn now and then."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from videollm.encoder import VideoMAPConfig, VideoMAPForPreTraining, VideoMAPPreTrainingConfig
from videollm.encoder.pretrain import instance_norm, pixel_targets

__all__ = ["PredictionPictures"]

logger = logging.getLogger(__name__)

_FOLDER = "pictures"
_MAX_COLUMNS = 8

Floats = NDArray[np.float32]


class PredictionPictures(TrainerCallback):
    """Draw `pictures/step-N.png` of one clip every few steps, where matplotlib is installed.

    A column is a tubelet. From top to bottom: its first frame; what of it was visible; where the
    teacher looks, if one does; what was to be predicted and what was predicted (pixels, or the
    three main directions of the features as colours, the same for both); how wrong each token is.

    Args:
        batch: Returns a batch whose first clip is drawn, complete, on the device of training,
            with the teacher's `attention` (B, S, N) where there is one.
        every: Steps between two pictures, at least 1.
    """

    def __init__(self, batch: Callable[[], dict[str, Tensor]], every: int) -> None:
        self._make_batch = batch
        self._batch: dict[str, Tensor] | None = None
        self.every = every

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: object,
    ) -> None:
        """Draw when it is time."""
        if state.global_step % self.every or not state.is_world_process_zero:
            return
        assert isinstance(model, VideoMAPForPreTraining)
        assert args.output_dir is not None
        if self._batch is None:
            self._batch = {name: item[:1] for name, item in self._make_batch().items()}
        path = Path(args.output_dir) / _FOLDER / f"step-{state.global_step:06d}.png"
        path.parent.mkdir(exist_ok=True)
        _save(_rows(model, dict(self._batch)), path)


@torch.no_grad()
def _rows(model: VideoMAPForPreTraining, batch: dict[str, Tensor]) -> dict[str, Floats]:
    """Return the rows of the picture by name: (S, G, G) or (S, height, width, 3) in [0, 1]."""
    attention = batch.pop("attention", None)
    was_training = model.training
    model.train(mode=False)
    output = model(**batch)
    model.train(was_training)
    config = model.config
    assert isinstance(config, VideoMAPPreTrainingConfig)
    encoder = model.encoder.config
    assert isinstance(encoder, VideoMAPConfig)
    pixels, visible = batch["pixel_values"][0], batch["visible"][0]
    frames = (0.5 * pixels[:: encoder.tubelet_size] + 0.5).permute(0, 2, 3, 1)
    side = encoder.grid_size
    patch = encoder.image_size // side
    shown = visible.view(-1, side, side).repeat_interleave(patch, 1).repeat_interleave(patch, 2)
    rows = {"frame": frames, "visible": frames * shown[..., None]}
    if attention is not None:
        rows["teacher looks"] = _scaled(attention[0].view(-1, side, side))
    predicted = output.predictions[0].float()
    if config.target_type == "pixels":
        wanted = pixel_targets(batch["pixel_values"], encoder)[0]
        error = (predicted - wanted).square().mean(-1)
        pictures = [
            _unpatched(item, encoder.tubelet_size, side, patch) for item in (wanted, predicted)
        ]
    else:
        wanted = batch["targets"].float()
        wanted = (instance_norm(wanted) if config.target_norm == "instance" else wanted)[0]
        error = 1.0 - nn.functional.cosine_similarity(predicted, wanted, dim=-1)
        pictures = _coloured(wanted, predicted, side)
    rows |= {"target": pictures[0], "predicted": pictures[1]}
    rows["error"] = _scaled(error.view(-1, side, side))
    return {name: row[:_MAX_COLUMNS].float().cpu().numpy() for name, row in rows.items()}


def _scaled(values: Tensor) -> Tensor:
    return values / values.amax().clamp_min(1e-9)


def _unpatched(patches: Tensor, tubelet: int, side: int, patch: int) -> Tensor:
    """Return the first frames (S, height, width, 3) in [0, 1] of normalised patches (S, N, F)."""
    image = patches.view(-1, side, side, tubelet, patch, patch, 3)[:, :, :, 0]
    image = image.permute(0, 1, 3, 2, 4, 5).reshape(-1, side * patch, side * patch, 3)
    return (0.5 + image / 4.0).clamp(0, 1)


def _coloured(wanted: Tensor, predicted: Tensor, side: int) -> list[Tensor]:
    """Return both as (S, G, G, 3) in [0, 1]: the target's three main directions as colours."""
    centre = wanted.flatten(0, 1).mean(0)
    _, _, directions = torch.linalg.svd(wanted.flatten(0, 1) - centre, full_matrices=False)
    axes = directions[:3]
    found = [
        (item - centre) @ axes.T for item in (wanted, nn.functional.normalize(predicted, dim=-1))
    ]
    low, high = found[0].amin((0, 1)), found[0].amax((0, 1))
    return [
        ((item - low) / (high - low).clamp_min(1e-9)).clamp(0, 1).view(-1, side, side, len(axes))
        for item in found
    ]


def _save(rows: dict[str, Floats], path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        logger.warning("no %s: matplotlib is missing (pip install videollm[train])", path.name)
        return
    columns = len(next(iter(rows.values())))
    figure = Figure(figsize=(1.3 * columns + 0.8, 1.35 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_of_row, (name, row) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(axes_of_row, row, strict=True):
            axes.imshow(image, vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
        axes_of_row[0].set_ylabel(name, fontsize=8)
    figure.savefig(path, dpi=100)
