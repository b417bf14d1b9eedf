"""The toy world as dialogues: a clip drawn in memory with independent questions about it."""

from collections.abc import Sequence

import torch

from videollm.clip import Clip
from videollm.errors import DataError
from videollm.toyworld.questions import Question, make_questions
from videollm.toyworld.render import render_frames, uniform_times
from videollm.toyworld.scene import Scene, make_scene
from videollm.train.examples import DialogueSet, Example, question_and_answer

__all__ = ["ToyWorldDialogues"]

_MAX_SCENES = 1000


class ToyWorldDialogues(DialogueSet):
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

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Example:
        """Return scene `index`, or the next one about which there is something to ask.

        Raises:
            DataError: The families have no question about any of many scenes.
            IndexError: `index` is beyond the length.
        """
        scene, questions = self._ask(index)
        clip = render_frames(scene, size=self.image_size, num_frames=self.num_frames)
        return _example(clip, questions)

    def outline(self, index: int) -> Example:
        """Return the sample at `index` with a black clip."""
        times = torch.from_numpy(uniform_times(self.num_frames))
        black = torch.zeros(len(times), 3, 1, 1, dtype=torch.uint8)
        return _example(Clip(black, times), self._ask(index)[1])

    def _ask(self, index: int) -> tuple[Scene, list[Question]]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        first = self.chosen[index]
        for number in range(first, first + _MAX_SCENES):
            scene = make_scene(self.split, number, self.seed)
            questions = make_questions(
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


def _example(clip: Clip, questions: Sequence[Question]) -> Example:
    return Example((clip,), tuple(question_and_answer(one.prompt, one.answer) for one in questions))
