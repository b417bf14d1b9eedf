"""What is shown of a clip: all of it, nothing, its middle frame, or its frames out of order."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from videollm.clip import Clip
from videollm.eval.settings import MODEL_CONDITION
from videollm.eval.task import Example

__all__ = ["VIEWS", "VIEWS_BY_ITEM", "View", "views_of"]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Hold what a model is shown of a clip.

    Args:
        clip: The frames shown, or None for nothing at all.
        source_seconds: (T,), when each shown frame really happens in the clip, in the order
            shown; empty without a clip. The times that the model is told are the clip's own.
    """

    clip: Clip | None
    source_seconds: tuple[float, ...]


def _seconds(clip: Clip, order: list[int]) -> tuple[float, ...]:
    times = clip.pts_seconds.tolist()
    return tuple(round(times[index], 6) for index in order)


def _view_frames(clip: Clip, order: list[int]) -> View:
    return View(replace(clip, frames=clip.frames[order]), _seconds(clip, order))


def _whole(clip: Clip, _key: str) -> View:
    return View(clip, _seconds(clip, list(range(len(clip)))))


def _nothing(_clip: Clip, _key: str) -> View:
    return View(None, ())


def _middle_frame(clip: Clip, _key: str) -> View:
    return _view_frames(clip, [len(clip) // 2] * len(clip))


def _shuffled(clip: Clip, key: str) -> View:
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
    generator = torch.Generator().manual_seed(seed)
    in_order = list(range(len(clip)))
    order = in_order
    while order == in_order and len(clip) > 1:  # a shuffle that changes nothing shows nothing
        order = torch.randperm(len(clip), generator=generator).tolist()
    return _view_frames(clip, order)


VIEWS: Mapping[str, Callable[[Clip, str], View]] = {
    MODEL_CONDITION: _whole,
    "blind": _nothing,
    "single_frame": _middle_frame,
    "shuffled": _shuffled,
}
"""What each condition shows of a clip; the text names the item and decides what is drawn."""

VIEWS_BY_ITEM = frozenset({"shuffled"})
"""The conditions that show the same clip otherwise to each of its questions."""


def views_of(
    name: str, seed: int, examples: Sequence[Example], clips: Sequence[Clip]
) -> list[View]:
    """Return what is shown; questions that are shown the same share it, and its encoding."""
    shared: dict[tuple[str, str], View] = {}
    views = []
    for example, clip in zip(examples, clips, strict=True):
        item = example.id if name in VIEWS_BY_ITEM else ""
        key = (example.video, item)
        if key not in shared:
            shared[key] = VIEWS[name](clip, f"{seed}/{item}")
        views.append(shared[key])
    return views
