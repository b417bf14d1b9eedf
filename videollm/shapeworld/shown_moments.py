"""Which moments of a long video a bounded memory would show: its end, and what is asked about.

A stream of an hour is answered about from a few frames (`videollm.memory`): the last ones, and
those nearest the question. To learn from that, a model is shown the same of a drawn video, without
watching all of it.
"""

import numpy as np
from numpy.typing import NDArray

from videollm.shapeworld.referents import askable
from videollm.shapeworld.scene import Scene

__all__ = ["shown_moments"]

_LAST_UNITS = 4
_MOST_OF_A_NEEDLE = 4


def shown_moments(
    scene: Scene, *, fps: float, num_frames: int, unit_frames: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the rising times of frames, in seconds: whole units of a stream's frames.

    The last units of the video are among them, the first ones of each needle (fewer where there
    are many needles), and of the others as many as there is room for, drawn evenly.

    Args:
        scene: A long video.
        fps: Frames a second of the stream.
        num_frames: How many to show; a few more where the needles need them.
        unit_frames: Frames that stay together, those of one written time.
        rng: Source of what is drawn.
    """
    total = int(scene.seconds * fps) // unit_frames
    wanted = min(num_frames // unit_frames, total)
    chosen = set(range(max(total - _LAST_UNITS, 0), total))
    needles = askable(scene)
    each = min(max(wanted // len(needles), 1), _MOST_OF_A_NEEDLE)
    for thing in needles:
        edges = np.array([thing.begin_seconds, thing.end_seconds]) * fps / unit_frames
        first, end = int(np.ceil(edges[0])), int(edges[1])
        chosen |= set(range(first, min(first + each, end)))
    others = np.setdiff1d(np.arange(total), list(chosen))
    room = max(wanted - len(chosen), 0)
    chosen |= set(rng.choice(others, size=min(room, len(others)), replace=False).tolist())
    units = np.array(sorted(chosen))
    frames = (units[:, None] * unit_frames + np.arange(unit_frames)).ravel()
    return np.asarray((frames + 0.5) / fps, dtype=np.float64)
