"""The drawn worlds as dialogues: a clip drawn in memory with independent questions about it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch.utils.data import Dataset

from videollm.errors import DataError
from videollm.train.artefacts import compress_some
from videollm.train.examples import Dialogue, Example, question_and_answer
from videollm.worlds import WORLDS, World, WorldQuestion, WorldScene

__all__ = ["ToyWorldDialogues"]

_MAX_SCENES = 1000
_RATE_STREAM, _TALK_STREAM = 2, 3
_FEWEST_FRAMES, _MOST_FRAMES = 8, 64


class ToyWorldDialogues(Dataset[Example]):
    """Scenes of a split with questions; sample i is the same whenever it is asked for.

    Args:
        split: "train" or "val".
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
        artefacts: Share of clips with artefacts of compression.
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
        artefacts: float = 0.0,
    ) -> None:
        self.split = split
        self.num_clips = num_clips
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
        self.artefacts = artefacts

    def __len__(self) -> int:
        return self.num_clips

    def __getitem__(self, index: int) -> Example:
        """Return scene `index`, or the next one about which there is something to ask.

        Raises:
            DataError: The families have no question about any of many scenes.
            IndexError: `index` is beyond the length.
        """
        if not 0 <= index < self.num_clips:
            raise IndexError(index)
        for number in range(index, index + _MAX_SCENES):
            scene = self.world.make_scene(self.split, number, self.seed)
            questions = self.world.ask(
                scene,
                self.split,
                count=self.questions,
                seed=self.seed,
                families=self.families,
                choice_fraction=self.choice_fraction,
            )
            if questions:
                times = self.world.times(scene, self._count_frames(scene))
                clip = self.world.render(scene, size=self.image_size, times=times)
                frames = compress_some(
                    clip.frames, share=self.artefacts, seed=self.seed, index=number
                )
                clip = replace(clip, frames=frames)
                return Example((clip,), self._talks(scene, questions))
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

    def _count_frames(self, scene: WorldScene) -> int:
        """Return how many frames of a clip are seen, at a rate drawn for it."""
        if not self.frame_rates:
            return self.num_frames
        rng = np.random.default_rng([self.seed, scene.index, _RATE_STREAM])
        rate = self.frame_rates[int(rng.integers(len(self.frame_rates)))]
        wanted = self.frame_multiple * round(rate * self.world.length(scene) / self.frame_multiple)
        return min(max(wanted, _FEWEST_FRAMES), _MOST_FRAMES)


def _dialogue(turns: Sequence[tuple[str, str]]) -> Dialogue:
    """Return questions with their answers as a dialogue about the clip."""
    first, *others = turns
    messages = [*question_and_answer(*first)]
    for asked, answer in others:
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": answer})
    return tuple(messages)
