"""The drawn worlds as dialogues: a clip drawn in memory with independent questions about it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from videollm.clip import Clip
from videollm.errors import DataError
from videollm.shapeworld import Scene, shown_moments
from videollm.train.artefacts import compress_some
from videollm.train.examples import Dialogue, DialogueSet, Example, question_and_answer
from videollm.worlds import WORLDS, World, WorldQuestion, WorldScene

__all__ = ["ToyWorldDialogues"]

_MAX_SCENES = 1000
_RATE_STREAM, _TALK_STREAM = 2, 3
_FEWEST_FRAMES, _MOST_FRAMES = 8, 64
_STREAMED, _STREAM_RATE, _SHOWN = "train_stream", 2.0, 3
"""Split of long videos that are seen as a stream's memory shows them, frames a second where none
are given, and how many times the usual number of frames are shown (see `MemoryOptions`)."""


class ToyWorldDialogues(DialogueSet):
    """Scenes of a split with questions; sample i is the same whenever it is asked for.

    Args:
        split: "train" or "val"; of shapes also "train_long", and "train_stream", of whose clips
            the moments are seen that a stream's memory would show.
        num_clips: Length.
        seed: Seed of scenes and questions.
        image_size: Side of a frame in pixels.
        num_frames: Frames of a clip.
        questions: Questions of a clip, at most.
        families: Question families; empty for all but captions.
        choice_fraction: Share of multiple-choice questions, 0 to 1.
        talk_fraction: Share of questions that go on with the talk of the one before.
        world: Whose scenes.
        frame_rates: Frames a second, one drawn for each clip, of which it then has 8 to 64; none
            to have `num_frames` of each.
        frame_multiple: Numbers of frames are multiples of this.
        time_stride: How often a time is written, in so many frames.
        artefacts: Share of clips with artefacts of compression.
        chosen: The scenes that take part; None: all.
    """

    def __init__(
        self,
        split: str,
        *,
        num_clips: int,
        seed: int,
        image_size: int,
        num_frames: int,
        questions: int,
        families: Sequence[str] = (),
        choice_fraction: float = 0.0,
        talk_fraction: float = 0.0,
        world: World = WORLDS["toy"],
        frame_rates: Sequence[float] = (),
        frame_multiple: int = 1,
        time_stride: int = 1,
        artefacts: float = 0.0,
        chosen: Sequence[int] | None = None,
    ) -> None:
        self.split = split
        self.num_clips = num_clips
        self.chosen = range(num_clips) if chosen is None else chosen
        self.seed = seed
        self.image_size = image_size
        self.num_frames = num_frames
        self.questions = questions
        self.families = list(families) or None
        self.choice_fraction = choice_fraction
        self.talk_fraction = talk_fraction
        self.world = world
        self.frame_rates = tuple(frame_rates)
        self.frame_multiple = frame_multiple
        self.time_stride = time_stride
        self.artefacts = artefacts

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Example:
        """Return scene `index`, or the next one about which there is something to ask.

        Raises:
            DataError: The families have no question about any of many scenes.
            IndexError: `index` is beyond the length.
        """
        scene, questions = self._ask(index)
        clip = self.world.render(scene, size=self.image_size, times=self._times(scene))
        frames = compress_some(clip.frames, share=self.artefacts, seed=self.seed, index=scene.index)
        return Example((replace(clip, frames=frames),), self._talks(scene, questions))

    def outline(self, index: int) -> Example:
        """Return the sample at `index` with a black clip."""
        scene, questions = self._ask(index)
        times = torch.from_numpy(self._times(scene))
        black = torch.zeros(len(times), 3, 1, 1, dtype=torch.uint8)
        return Example((Clip(black, times),), self._talks(scene, questions))

    def _ask(self, index: int) -> tuple[WorldScene, Sequence[WorldQuestion]]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        first = self.chosen[index]
        for number in range(first, first + _MAX_SCENES):
            scene: WorldScene = self.world.make_scene(self.split, number, self.seed)
            questions = self.world.ask(
                scene,
                self.split,
                count=self.questions,
                seed=self.seed,
                families=self.families,
                choice_fraction=self.choice_fraction,
            )
            if questions:
                return scene, questions
        raise DataError(f"families: {self.families} ask nothing about {_MAX_SCENES} scenes")

    def _talks(self, scene: WorldScene, questions: Sequence[WorldQuestion]) -> tuple[Dialogue, ...]:
        """Return the questions as independent talks, some of more than one question."""
        rng = np.random.default_rng([self.seed, scene.index, _TALK_STREAM])
        talks: list[list[tuple[str, str]]] = []
        for question in questions:
            turns = [*self.world.turns(question), (question.prompt, question.answer)]
            if talks and rng.random() < self.talk_fraction:
                talks[-1] += turns
            else:
                talks.append(turns)
        return tuple(_dialogue(turns) for turns in talks)

    def _times(self, scene: WorldScene) -> NDArray[np.float64]:
        """Return when a clip is looked at, at a rate drawn for it where there are rates."""
        wanted = self.num_frames
        rng = np.random.default_rng([self.seed, scene.index, _RATE_STREAM])
        rates = self.frame_rates or ((_STREAM_RATE,) if self.split == _STREAMED else ())
        if rates:
            rate = rates[int(rng.integers(len(rates)))]
            if self.split == _STREAMED:
                return shown_moments(
                    cast(Scene, scene),
                    fps=rate,
                    num_frames=_SHOWN * self.num_frames,
                    unit_frames=self.frame_multiple * self.time_stride,
                    rng=rng,
                )
            tubelets = round(rate * self.world.length(scene) / self.frame_multiple)
            wanted = min(max(self.frame_multiple * tubelets, _FEWEST_FRAMES), _MOST_FRAMES)
        return self.world.times(scene, wanted)


def _dialogue(turns: Sequence[tuple[str, str]]) -> Dialogue:
    """Return questions with their answers as a dialogue about the clip."""
    first, *others = turns
    messages = [*question_and_answer(*first)]
    for asked, answer in others:
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": answer})
    return tuple(messages)
