"""The toy world as training data: scenes drawn in memory, each a pure function of its index.

A data set here has a length but no files: sample i is scene i of its split, whenever and in
whatever process it is asked for. Everything a collator draws comes from the indices of its
batch, so a resumed run sees exactly the batches that an uninterrupted one would have seen.

Legend: B batch, T frames of a clip, S tubelets (T / tubelet size), N patches, K regions a frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from videollm.encoder import VideoMAPConfig
from videollm.encoder.masking import random_visible
from videollm.errors import RecipeError
from videollm.toyworld.render import render_frames, uniform_times
from videollm.toyworld.scene import Scene, make_scene
from videollm.train.arguments import PretrainArguments
from videollm.train.scene_targets import balanced_weights, region_words, scene_targets
from videollm.transforms import preprocess_frames

__all__ = ["MaskDrawer", "SceneCollator", "ToyWorldScenes", "WordCollator", "batch_generator"]

Times = NDArray[np.float64]


class ToyWorldScenes(Dataset[Scene]):
    """Scenes of a split, drawn when asked for.

    Args:
        split: "train" or "val".
        num_clips: Length; the scenes 0 to num_clips - 1.
        seed: Seed of the world.
    """

    def __init__(self, split: str, num_clips: int, seed: int) -> None:
        self.split = split
        self.num_clips = num_clips
        self.seed = seed

    def __len__(self) -> int:
        return self.num_clips

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.num_clips:
            raise IndexError(index)
        return make_scene(self.split, index, self.seed)


def batch_generator(seed: int, indices: Sequence[int]) -> np.random.Generator:
    """Return the randomness of one batch, which depends on the seed and its samples alone."""
    return np.random.default_rng([seed, *indices])


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskDrawer:
    """Which tokens the encoder sees in a batch: one ratio for all, the same number a frame.

    Args:
        keep_ratios: Shares of visible tokens to draw from.
        num_tokens: Patches N of a frame.
    """

    keep_ratios: tuple[float, ...]
    num_tokens: int

    def draw(self, batch: int, num_frames: int, rng: np.random.Generator) -> Tensor:
        """Return (B, S, N) bool."""
        keep = float(rng.choice(self.keep_ratios))
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        return random_visible(batch, num_frames, self.num_tokens, keep, generator)


@dataclass(frozen=True, kw_only=True)
class SceneCollator:
    """Draw a batch of scenes for pretraining: frames, masks and the teacher's targets.

    Args:
        encoder: Frame, patch and tubelet size.
        objective: Teacher, keep ratios and the share of batches that see a short window.
        num_frames: Frames T of a whole clip.
        seed: Seed of masks and windows.
    """

    encoder: VideoMAPConfig
    objective: PretrainArguments
    num_frames: int
    seed: int

    def __call__(self, scenes: list[Scene]) -> dict[str, Tensor]:
        """Return `pixel_values`, `visible` and, for the teacher "scene", `targets` and weights."""
        rng = batch_generator(self.seed, [scene.index for scene in scenes])
        windows = self._windows(len(scenes), rng)
        size, grid, tubelet = self.encoder.image_size, self.encoder.grid_size, self._tubelet
        frames = [
            preprocess_frames(render_frames(scene, size=size, times=times).frames, size)
            for scene, times in zip(scenes, windows, strict=True)
        ]
        masks = MaskDrawer(keep_ratios=tuple(self.objective.keep_ratios), num_tokens=grid * grid)
        num_steps = len(windows[0]) // tubelet
        batch = {
            "pixel_values": torch.stack(frames),
            "visible": masks.draw(len(scenes), num_steps, rng),
        }
        if self.objective.teacher == "scene":
            pairs = [
                scene_targets(scene, times, grid=grid, tubelet=tubelet)
                for scene, times in zip(scenes, windows, strict=True)
            ]
            batch["targets"] = torch.stack([target for target, _ in pairs])
            batch["target_weights"] = balanced_weights(torch.stack([full for _, full in pairs]))
        return batch

    @property
    def _tubelet(self) -> int:
        return self.encoder.tubelet_size

    def _windows(self, batch: int, rng: np.random.Generator) -> list[Times]:
        """Return the times of each clip: all of them, or a short window of each at random."""
        times, length = uniform_times(self.num_frames), self.objective.subclip_frames
        if not length or rng.random() >= self.objective.subclip_share:
            return [times] * batch
        starts = rng.integers(0, self.num_frames - length + 1, size=batch)
        return [times[start : start + length] for start in starts]


@dataclass(frozen=True, kw_only=True)
class WordCollator:
    """Draw a batch of scenes to align the projector: frames, and the words of each region.

    Args:
        encoder: Frame and tubelet size.
        tokens_per_frame: Regions K, a square number.
        num_frames: Frames T of a clip.
    """

    encoder: VideoMAPConfig
    tokens_per_frame: int
    num_frames: int

    def __call__(self, scenes: list[Scene]) -> dict[str, Tensor]:
        """Return `pixel_values`, `words` (B, S, K, words) and `weights` (B, S, K)."""
        size, grid = self.encoder.image_size, math.isqrt(self.tokens_per_frame)
        times = uniform_times(self.num_frames)
        frames, words, presence = [], [], []
        for scene in scenes:
            clip = render_frames(scene, size=size, times=times)
            labels, present = region_words(
                scene, times, grid=grid, tubelet=self.encoder.tubelet_size
            )
            frames.append(preprocess_frames(clip.frames, size))
            words.append(labels)
            presence.append(present)
        return {
            "pixel_values": torch.stack(frames),
            "words": torch.stack(words),
            "weights": balanced_weights(torch.stack(presence)),
        }


def check_frames(num_frames: int, encoder: VideoMAPConfig, *, name: str = "num_frames") -> None:
    """Raise if a number of frames does not fill whole tubelets.

    Raises:
        RecipeError: `num_frames` is not a multiple of the encoder's tubelet size.
    """
    tubelet = encoder.tubelet_size
    if num_frames % tubelet:
        raise RecipeError(f"{name}: {num_frames} given; the encoder needs a multiple of {tubelet}")
