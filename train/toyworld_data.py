"""The drawn worlds as training data: scenes drawn in memory, each a pure function of its index.

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
from videollm.errors import RecipeError
from videollm.train.arguments import PretrainArguments
from videollm.train.artefacts import compress_some
from videollm.train.pretrain_batches import PretrainBatches
from videollm.train.scene_targets import balanced_weights, region_words, scene_targets
from videollm.transforms import preprocess_frames
from videollm.worlds import WORLDS, World, WorldScene

__all__ = [
    "SceneCollator",
    "ToyWorldScenes",
    "WordCollator",
    "batch_generator",
    "check_frames",
    "draw_times",
    "scene_name",
]

Times = NDArray[np.float64]

_TOY = WORLDS["toy"]


class ToyWorldScenes(Dataset[WorldScene]):
    """Scenes of a split, drawn when asked for.

    Args:
        split: "train" or "val".
        num_clips: Length; the scenes 0 to num_clips - 1.
        seed: Seed of the world.
        max_objects: How many objects of a scene are kept, in its first shot; 0 for all of it.
        world: Whose scenes.
    """

    def __init__(
        self, split: str, num_clips: int, seed: int, *, max_objects: int = 0, world: World = _TOY
    ) -> None:
        self.split = split
        self.num_clips = num_clips
        self.seed = seed
        self.max_objects = max_objects
        self.world = world

    def __len__(self) -> int:
        return self.num_clips

    def __getitem__(self, index: int) -> WorldScene:
        if not 0 <= index < self.num_clips:
            raise IndexError(index)
        scene: WorldScene = self.world.make_scene(self.split, index, self.seed)
        if self.max_objects:
            scene = self.world.keep_objects(scene, self.max_objects)
        return scene


def scene_name(scene: WorldScene) -> str:
    """Return what a cache of features calls a scene."""
    return f"{scene.split}-{scene.seed}-{scene.index}"


def batch_generator(seed: int, indices: Sequence[int]) -> np.random.Generator:
    """Return the randomness of one batch, which depends on the seed and its samples alone."""
    return np.random.default_rng([seed, *indices])


def draw_times(
    scene: WorldScene, world: World, *, num_frames: int, rate: float | None, share: float
) -> Times:
    """Return the times (num_frames,) at which a clip is looked at.

    Args:
        scene: Whose clip.
        world: The scene's.
        num_frames: How many.
        rate: Frames a second, or as many as spread them over the whole clip where that is slower;
            None for the centres of equal parts of the clip.
        share: Where a window that is shorter than the clip lies, 0 (first) to 1 (last).
    """
    length = world.length(scene)
    if rate is None or num_frames / rate >= length:
        return world.times(scene, num_frames)
    begin = share * (length - num_frames / rate)
    return np.asarray(begin + (np.arange(num_frames) + 0.5) / rate, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class SceneCollator:
    """Draw a batch of scenes for pretraining: frames, masks and the teacher's targets.

    Args:
        encoder: Frame, patch and tubelet size.
        objective: Teacher, and the share of batches that see a short window.
        num_frames: Frames T of a whole clip.
        seed: Seed of windows.
        batches: Masks, and a teacher's features.
        world: Whose scenes.
        frame_rates: Frames a second, one drawn for each batch; none to spread T over each clip.
        artefacts: Share of clips with artefacts of compression.
    """

    encoder: VideoMAPConfig
    objective: PretrainArguments
    num_frames: int
    seed: int
    batches: PretrainBatches
    world: World = _TOY
    frame_rates: tuple[float, ...] = ()
    artefacts: float = 0.0

    def __call__(self, scenes: list[WorldScene]) -> dict[str, Tensor]:
        """Return `pixel_values` and `visible`, or the plan of a mask that waits for a teacher.

        For the teacher "scene", `targets` and `target_weights` too.
        """
        draws = [scene.index for scene in scenes]
        rng = batch_generator(self.seed, draws)
        windows = self._windows(scenes, rng)
        grid, tubelet = self.encoder.grid_size, self.encoder.tubelet_size
        frames = [self._draw(scene, times) for scene, times in zip(scenes, windows, strict=True)]
        batch = self.batches.make(
            torch.stack(frames), draws, [scene_name(scene) for scene in scenes]
        )
        if self.objective.teacher == "scene":
            pairs = [
                scene_targets(scene, times, grid=grid, tubelet=tubelet, world=self.world)
                for scene, times in zip(scenes, windows, strict=True)
            ]
            batch["targets"] = torch.stack([target for target, _ in pairs])
            batch["target_weights"] = balanced_weights(torch.stack([full for _, full in pairs]))
        return batch

    def look(self, scenes: list[WorldScene]) -> tuple[Tensor, list[str]]:
        """Return whole clips (B, T, 3, height, width) as a teacher sees them, and their names."""
        frames = torch.stack(
            [self._draw(scene, self.world.times(scene, self.num_frames)) for scene in scenes]
        )
        return frames, [scene_name(scene) for scene in scenes]

    def _draw(self, scene: WorldScene, times: Times) -> Tensor:
        return _pixels(self.world, scene, times, self.encoder.image_size, self.artefacts)

    def _windows(self, scenes: Sequence[WorldScene], rng: np.random.Generator) -> list[Times]:
        """Return the times of each clip: all of them, or a short window of each at random."""
        clips = _whole_clips(self.world, scenes, self.num_frames, self.frame_rates, rng)
        length = self.objective.subclip_frames
        if not length or rng.random() >= self.objective.subclip_share:
            return clips
        starts = rng.integers(0, self.num_frames - length + 1, size=len(scenes))
        return [times[start : start + length] for times, start in zip(clips, starts, strict=True)]


def _pixels(
    world: World, scene: WorldScene, times: Times, size: int, artefacts: float = 0.0
) -> Tensor:
    frames = world.render(scene, size=size, times=times).frames
    frames = compress_some(frames, share=artefacts, seed=scene.seed, index=scene.index)
    return preprocess_frames(frames, size)


def _whole_clips(
    world: World,
    scenes: Sequence[WorldScene],
    num_frames: int,
    frame_rates: tuple[float, ...],
    rng: np.random.Generator,
) -> list[Times]:
    """Return the times of each clip, at one rate drawn for all where rates are given."""
    if not frame_rates:
        return [world.times(scene, num_frames) for scene in scenes]
    rate = frame_rates[int(rng.integers(len(frame_rates)))]
    return [
        draw_times(scene, world, num_frames=num_frames, rate=rate, share=share)
        for scene, share in zip(scenes, rng.random(len(scenes)), strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class WordCollator:
    """Draw a batch of scenes to align the projector: frames, and the words of each region.

    Args:
        encoder: Frame and tubelet size.
        tokens_per_frame: Regions K, a square number.
        num_frames: Frames T of a clip.
        world: Whose scenes.
        frame_rates: As in `SceneCollator`.
        seed: Seed of windows, where there are rates.
        artefacts: As in `SceneCollator`.
    """

    encoder: VideoMAPConfig
    tokens_per_frame: int
    num_frames: int
    world: World = _TOY
    frame_rates: tuple[float, ...] = ()
    seed: int = 0
    artefacts: float = 0.0

    def __call__(self, scenes: list[WorldScene]) -> dict[str, Tensor]:
        """Return `pixel_values`, `words` (B, S, K, words) and `weights` (B, S, K)."""
        size, grid = self.encoder.image_size, math.isqrt(self.tokens_per_frame)
        rng = batch_generator(self.seed, [scene.index for scene in scenes])
        clips = _whole_clips(self.world, scenes, self.num_frames, self.frame_rates, rng)
        frames, words, presence = [], [], []
        for scene, times in zip(scenes, clips, strict=True):
            labels, present = region_words(
                scene, times, grid=grid, tubelet=self.encoder.tubelet_size, world=self.world
            )
            frames.append(_pixels(self.world, scene, times, size, self.artefacts))
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
