"""Several questions with their videos as one batch: rendered texts and encoded videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from videollm.processor import Message
from videollm.prompting import build_messages

if TYPE_CHECKING:
    from videollm.api import VideoLLM, VideoSource

__all__ = ["PromptBatch", "prepare_prompts"]


@dataclass(frozen=True, slots=True, eq=False)
class PromptBatch:
    """Hold B prompts.

    Args:
        texts: B rendered chats, each open for the answer.
        features: The features of all their videos, in order, each (T, N, D).
        owners: For each of `features`, the prompt that it belongs to.
    """

    texts: list[str]
    features: list[Tensor]
    owners: list[int]

    def features_of(self, row: int) -> list[Tensor]:
        """Return the features of a prompt's videos, in order."""
        pairs = zip(self.features, self.owners, strict=True)
        return [item for item, owner in pairs if owner == row]

    def pick(self, rows: Sequence[int]) -> "PromptBatch":
        """Return some of the prompts as a batch of their own."""
        part = PromptBatch([self.texts[row] for row in rows], [], [])
        for place, row in enumerate(rows):
            found = self.features_of(row)
            part.features.extend(found)
            part.owners.extend([place] * len(found))
        return part


def prepare_prompts(
    model: "VideoLLM",
    videos: Sequence["VideoSource | None"],
    questions: Sequence[str],
    *,
    histories: Sequence[Sequence[Message]] | None = None,
    num_frames: int | None = None,
) -> PromptBatch:
    """Return questions and their videos ready for the language model.

    Args:
        model: Loads and encodes the videos.
        videos: A video for each question, or None; the same object is encoded once.
        questions: As many as videos.
        histories: The turns before each question, as in `VideoLLM.ask`; None for none.
        num_frames: As in `VideoLLM.ask`.

    Raises:
        VideoError: A video cannot be read.
        RequestError: A question is empty, or turns do not alternate.
        ValueError: The lists differ in length.
    """
    past = [()] * len(questions) if histories is None else histories
    encoded: dict[int, Tensor] = {}
    batch = PromptBatch([], [], [])
    asked = zip(videos, questions, past, strict=True)
    for row, (video, question, history) in enumerate(asked):
        clips = [] if video is None else [model.load(video, num_frames=num_frames)]
        messages = build_messages(question, history, has_video=bool(clips))
        batch.texts.append(model.processor.render(messages, clips, add_generation_prompt=True))
        for clip in clips:
            if id(video) not in encoded:
                encoded[id(video)] = model.encode(clip)
            batch.features.append(encoded[id(video)])
            batch.owners.append(row)
    return batch
