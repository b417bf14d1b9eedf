"""How many frames each medium of a sample gets, so that its visual tokens stay below a bound.

Pure arithmetic: nothing here opens a file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from videollm.errors import RequestError
from videollm.train.dialogue_records import Medium

__all__ = ["FrameBudget"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameBudget:
    """How many frames a sample may have.

    Args:
        num_frames: Frames of a video; those of a stream are shared by its parts.
        fps: Frames a second in the place of `num_frames`; None: a fixed number.
        max_frames: The most frames of a video with `fps`.
        max_visual_tokens: The most visual tokens of a sample, 0 for no bound.
        tubelet_size: Frames of one token frame.
        tokens_per_frame: Visual tokens of one token frame.
    """

    num_frames: int
    fps: float | None = None
    max_frames: int = 64
    max_visual_tokens: int = 0
    tubelet_size: int = 1
    tokens_per_frame: int = 16

    def plan(self, media: Sequence[Medium]) -> list[int]:
        """Return the most frames of each medium: one of an image, a fair share of a video.

        Where the wish of all is beyond the bound, images keep theirs, every video keeps one token
        frame, and the rest is shared in proportion to what the videos wished beyond it.

        Raises:
            RequestError: Not even one token frame each stays below the bound.
        """
        most = self.num_frames if self.fps is None else self.max_frames
        wishes = [
            1 if medium.kind == "image" else max(1, round(most * medium.share)) for medium in media
        ]
        if not self.max_visual_tokens:
            return wishes
        steps = [self._steps(frames) for frames in wishes]
        room = self.max_visual_tokens // self.tokens_per_frame
        if sum(steps) <= room:
            return wishes
        if len(media) > room:
            raise RequestError(
                f"{len(media)} media need {len(media) * self.tokens_per_frame} visual tokens at "
                f"least; max_visual_tokens = {self.max_visual_tokens}"
            )
        given = _share_out(room - len(media), [wish - 1 for wish in steps])
        return [
            min(wish, (1 + extra) * self.tubelet_size)
            for wish, extra in zip(wishes, given, strict=True)
        ]

    def visual_tokens(self, frames: Sequence[int]) -> int:
        """Return the visual tokens of media with so many frames each."""
        return sum(map(self._steps, frames)) * self.tokens_per_frame

    def _steps(self, frames: int) -> int:
        return math.ceil(frames / self.tubelet_size)


def _share_out(total: int, wishes: Sequence[int]) -> list[int]:
    """Return whole shares of `total` in proportion to `wishes`, by largest remainders."""
    exact = [total * wish / sum(wishes) for wish in wishes]
    shares = [math.floor(part) for part in exact]
    rest = total - sum(shares)
    for place in sorted(range(len(wishes)), key=lambda item: shares[item] - exact[item])[:rest]:
        shares[place] += 1
    return shares
