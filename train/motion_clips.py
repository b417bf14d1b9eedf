"""How one object of a drawn world moves: clips to learn from and to be tested on.

Legend: T frames, S side of the input, K classes.
"""

from itertools import count, islice

import torch
from torch import Tensor
from torch.utils.data import Dataset

from videollm.train.augment import Augment
from videollm.train.classify_data import VIEW_STREAM, ClipViews, balanced_share
from videollm.train.draws import FreshDraws, draw_generator
from videollm.transforms import preprocess_frames
from videollm.worlds import World, WorldScene

__all__ = ["MotionClips", "MotionTest", "MotionTraining"]


class MotionClips:
    """Clips of one object each; the class is how it moves.

    Args:
        world: Whose scenes; those in which it moves in none of `world.motions` are passed over.
        split: "train" or "val".
        num_clips: How many.
        seed: Seed of the world.
        num_frames: Frames T of a clip.
        size: Side S.
    """

    def __init__(
        self, world: World, split: str, num_clips: int, *, seed: int, num_frames: int, size: int
    ) -> None:
        self.world, self.split, self.seed = world, split, seed
        self.num_frames, self.size = num_frames, size
        moving = ((index, self._motion(index)) for index in count())
        named = ((index, word) for index, word in moving if word is not None)
        pairs = list(islice(named, num_clips))
        self.indices = [index for index, _ in pairs]
        self.labels = [world.motions.index(word) for _, word in pairs]

    def frames(self, number: int) -> Tensor:
        """Return (T, 3, S, S) uint8."""
        scene = self._scene(self.indices[number])
        times = self.world.times(scene, self.num_frames)
        frames: Tensor = self.world.render(scene, size=self.size, times=times).frames
        return frames

    def _scene(self, index: int) -> WorldScene:
        scene = self.world.make_scene(self.split, index, self.seed)
        alone: WorldScene = self.world.keep_objects(scene, 1)
        return alone

    def _motion(self, index: int) -> str | None:
        return self.world.motion(self._scene(index))


class MotionTraining(FreshDraws[ClipViews]):
    """Clips to learn from.

    Args:
        clips: Of the split "train".
        augment: What makes a view.
        share: Share of each class that is used.
        view_seed: Seed of the views.
        repeats: Views of a clip.
    """

    def __init__(
        self, clips: MotionClips, *, augment: Augment, share: float, view_seed: int, repeats: int
    ) -> None:
        self.clips = clips
        self.chosen = balanced_share(clips.labels, share, clips.seed)
        self.augment, self.view_seed, self.repeats = augment, view_seed, repeats

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, draw: int) -> ClipViews:
        number = self.chosen[draw % len(self)]
        frames = self.clips.frames(number)
        rng = draw_generator(self.view_seed, draw, VIEW_STREAM)
        views = torch.stack([self.augment(frames, rng) for _ in range(self.repeats)])
        name = f"{self.clips.split}-{self.clips.indices[number]}"
        return ClipViews(name, draw, views, self.clips.labels[number])


class MotionTest(Dataset[ClipViews]):
    """Clips to be tested on, each whole.

    Args:
        clips: Of the split "val".
    """

    def __init__(self, clips: MotionClips) -> None:
        self.clips = clips
        self.names = [f"{clips.split}-{index}" for index in clips.indices]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> ClipViews:
        if not 0 <= number < len(self):
            raise IndexError(number)
        views = preprocess_frames(self.clips.frames(number), self.clips.size)[None]
        return ClipViews(self.names[number], -1, views, self.clips.labels[number])
