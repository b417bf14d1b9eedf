"""The toy world as training data: scenes drawn in memory, each a pure function of its index.

A data set here has a length but no files: sample i is scene i of its split, whenever and in
whatever process it is asked for. Everything a collator draws comes from the indices of its
batch, so a resumed run sees exactly the batches that an uninterrupted one would have seen.

Legend: B batch, T frames of a clip, S tubelets (T / tubelet size), N patches, K regions a frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from videollm.encoder import VideoMAPConfig
from videollm.errors import RecipeError
from videollm.toyworld.render import render_frames, uniform_times
from videollm.toyworld.scene import Scene, make_scene
from videollm.train.arguments import PretrainArguments
from videollm.train.pretrain_batches import PretrainBatches
from videollm.train.scene_targets import balanced_weights, region_words, scene_targets
from videollm.transforms import preprocess_frames

__all__ = [
    "SceneCollator",
    "ToyWorldScenes",
    "WordCollator",
    "batch_generator",
    "check_frames",
    "scene_name",
]

Times = NDArray[np.float64]


class ToyWorldScenes(Dataset[Scene]):
    """Scenes of a split, drawn when asked for.

    Args:
        split: "train" or "val".
        num_clips: Length; the scenes 0 to num_clips - 1.
        seed: Seed of the world.
        max_objects: How many objects of a scene are kept; 0 for all.
    """

    def __init__(self, split: str, num_clips: int, seed: int, *, max_objects: int = 0) -> None:
        self.split = split
        self.num_clips = num_clips
        self.seed = seed
        self.max_objects = max_objects

    def __len__(self) -> int:
        return self.num_clips

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.num_clips:
            raise IndexError(index)
        scene = make_scene(self.split, index, self.seed)
        kept = scene.objects[: self.max_objects or None]
        return replace(scene, objects=kept)


def scene_name(scene: Scene) -> str:
    """Return what a cache of features calls a scene."""
    return f"{scene.split}-{scene.seed}-{scene.index}"


def batch_generator(seed: int, indices: Sequence[int]) -> np.random.Generator:
    """Return the randomness of one batch, which depends on the seed and its samples alone."""
    return np.random.default_rng([seed, *indices])


@dataclass(frozen=True, kw_only=True)
class SceneCollator:
    """Draw a batch of scenes for pretraining: frames, masks and the teacher's targets.

    Args:
        encoder: Frame, patch and tubelet size.
        objective: Teacher, and the share of batches that see a short window.
        num_frames: Frames T of a whole clip.
        seed: Seed of windows.
        batches: Masks, and a teacher's features.
    """

    encoder: VideoMAPConfig
    objective: PretrainArguments
    num_frames: int
    seed: int
    batches: PretrainBatches

    def __call__(self, scenes: list[Scene]) -> dict[str, Tensor]:
        """Return `pixel_values` and `visible`, or the plan of a mask that waits for a teacher.

        For the teacher "scene", `targets` and `target_weights` too.
        """
        draws = [scene.index for scene in scenes]
        rng = batch_generator(self.seed, draws)
        windows = self._windows(len(scenes), rng)
        grid, tubelet = self.encoder.grid_size, self.encoder.tubelet_size
        frames = [self._draw(scene, times) for scene, times in zip(scenes, windows, strict=True)]
        batch = self.batches.make(
            torch.stack(frames), draws, [scene_name(scene) for scene in scenes]
        )
        if self.objective.teacher == "scene":
            pairs = [
                scene_targets(scene, times, grid=grid, tubelet=tubelet)
                for scene, times in zip(scenes, windows, strict=True)
            ]
            batch["targets"] = torch.stack([target for target, _ in pairs])
            batch["target_weights"] = balanced_weights(torch.stack([full for _, full in pairs]))
        return batch

    def look(self, scenes: list[Scene]) -> tuple[Tensor, list[str]]:
        """Return whole clips (B, T, 3, height, width) as a teacher sees them, and their names."""
        times = uniform_times(self.num_frames)
        frames = torch.stack([self._draw(scene, times) for scene in scenes])
        return frames, [scene_name(scene) for scene in scenes]

    def _draw(self, scene: Scene, times: Times) -> Tensor:
        size = self.encoder.image_size
        return preprocess_frames(render_frames(scene, size=size, times=times).frames, size)

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
