"""The toy world as dialogues: a clip drawn in memory with independent questions about it."""

from collections.abc import Sequence

from torch.utils.data import Dataset

from videollm.errors import DataError
from videollm.toyworld.questions import make_questions
from videollm.toyworld.render import render_frames
from videollm.toyworld.scene import make_scene
from videollm.train.examples import Example, question_and_answer

__all__ = ["ToyWorldDialogues"]

_MAX_SCENES = 1000


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
    ) -> None:
        self.split = split
        self.num_clips = num_clips
        self.seed = seed
        self.image_size = image_size
        self.num_frames = num_frames
        self.questions = questions
        self.families = list(families) or None
        self.choice_fraction = choice_fraction

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
                clip = render_frames(scene, size=self.image_size, num_frames=self.num_frames)
                asked = tuple(question_and_answer(item.prompt, item.answer) for item in questions)
                return Example((clip,), asked)
        raise DataError(f"families: {self.families} ask nothing about {_MAX_SCENES} scenes")
