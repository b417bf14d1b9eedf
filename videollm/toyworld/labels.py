"""Which words are true of each object of a scene at a moment, as far as they can be known then.

Legend: T times, O objects, W words.
"""

import numpy as np
from numpy.typing import NDArray

from videollm.toyworld.render import object_features, object_presence
from videollm.toyworld.scene import Scene
from videollm.toyworld.vocabulary import FEATURE_GROUPS

__all__ = ["KNOWN_SECONDS", "known_words"]

KNOWN_SECONDS = {"bounces": 1.5, "loops": 1.5}
"""How long an object is watched until its motion is known; 0.5 seconds for all others."""


def known_words(scene: Scene, times: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return (T, O, W): the words true of each object, its motion only as far as it was seen."""
    words = object_features(scene, times).astype(np.float32)
    present = object_presence(scene, times)
    motion = FEATURE_GROUPS["motion"]
    for index, thing in enumerate(scene.objects):
        if present[:, index].any():
            watched = times - times[int(present[:, index].argmax())]
            known = np.clip(watched / KNOWN_SECONDS.get(thing.motion, 0.5), 0.0, 1.0)
            words[:, index, motion] *= known[:, None].astype(np.float32)
    return words
