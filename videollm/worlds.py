"""The drawn worlds that one can learn from and be asked about: toy world, shape world, and neither.

Training, evaluation and files know a world by what it can do: make a scene, draw it, say what is
where in it, ask about it. The released checkpoint has seen the toy world, which is the default.

Legend: T times, O objects, W words, G cells of a side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from videollm import shapeworld, toyworld
from videollm.clip import Clip
from videollm.errors import RequestError
from videollm.shapeworld.foreign import (
    FOREIGN_SPLITS,
    ask_foreign,
    make_foreign_scene,
    render_foreign,
)
from videollm.toyworld.labels import known_words
from videollm.toyworld.splits import SPLITS
from videollm.toyworld.writer import SplitSummary

__all__ = ["WORLDS", "World", "WorldQuestion", "WorldScene", "find_world"]

Times = NDArray[np.float64]


class WorldScene(Protocol):
    """Say which clip of which world a scene is."""

    @property
    def split(self) -> str:
        """Return the split that it belongs to."""

    @property
    def index(self) -> int:
        """Return its number in the split."""

    @property
    def seed(self) -> int:
        """Return the seed of its world."""


class WorldQuestion(Protocol):
    """Hold a question about a scene, as both worlds' `Question` does."""

    id: str
    family: str
    answer: str
    choices: tuple[str, ...]
    aliases: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """Return what to ask a model."""


@dataclass(frozen=True, kw_only=True)
class World:
    """Hold what a world can do; scenes go into the functions of the world that made them.

    Args:
        name: "toy", "shapes" or "foreign" (clips of neither kind, without dense labels).
        splits: Its splits.
        families: Its families of questions.
        words: W words that can be true of an object.
        word_groups: Where among these the colours are, the shapes, and so on.
        make_scene: (split, index, seed) to a scene.
        length: A scene to the seconds of its clip.
        render: (scene, size=, times=) to a clip.
        ask: (scene, split, count=, seed=, families=, choice_fraction=) to questions.
        turns: A question to the (question, answer) pairs before it.
        known_words: (scene, times) to (T, O, W), how true each word is of each object.
        coverage: (scene, times, grid) to (T, O, G, G), how much of each cell an object covers.
        presence: (scene, times) to (T, O), whether it is there.
        positions: (scene, times) to (T, O, 2), where it is, in frame sides.
        write_split: As `videollm.toyworld.write_split`.
        keep_objects: (scene, count) to its first shot as a scene with its first objects alone.
        motions: K ways for an object to move that are told apart, none where nobody asks.
        motion: A scene to the way in which its first object moves; None if it is none of them.
    """

    name: str
    splits: tuple[str, ...]
    families: tuple[str, ...]
    words: tuple[str, ...]
    word_groups: tuple[slice, ...]
    make_scene: Callable[[str, int, int], Any]
    length: Callable[[Any], float]
    render: Callable[..., Clip]
    ask: Callable[..., Sequence[Any]]
    turns: Callable[[Any], tuple[tuple[str, str], ...]]
    known_words: Callable[[Any, Times], NDArray[np.float32]]
    coverage: Callable[[Any, Times, int], NDArray[np.float32]]
    presence: Callable[[Any, Times], NDArray[np.bool_]]
    positions: Callable[[Any, Times], NDArray[np.float32]]
    write_split: Callable[..., SplitSummary]
    keep_objects: Callable[[Any, int], Any]
    motions: tuple[str, ...]
    motion: Callable[[Any], str | None]

    def times(self, scene: WorldScene, num_frames: int) -> Times:
        """Return the centres (num_frames,) of equal segments of a scene's clip, in seconds."""
        edges = np.linspace(0.0, self.length(scene), num_frames + 1)
        return (edges[:-1] + edges[1:]) / 2


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RequestError("world foreign: it is only for talks and for evaluation")


WORLDS: dict[str, World] = {
    "toy": World(
        name="toy",
        splits=SPLITS,
        families=tuple(toyworld.FAMILIES),
        words=toyworld.FEATURE_WORDS,
        word_groups=tuple(toyworld.FEATURE_GROUPS.values()),
        make_scene=toyworld.make_scene,
        length=lambda _: toyworld.CLIP_SECONDS,
        render=toyworld.render_frames,
        ask=toyworld.make_questions,
        turns=lambda _: (),
        known_words=known_words,
        coverage=toyworld.object_coverage,
        presence=toyworld.object_presence,
        positions=toyworld.object_positions,
        write_split=toyworld.write_split,
        keep_objects=lambda scene, count: replace(scene, objects=scene.objects[:count]),
        motions=toyworld.MOTIONS,
        motion=lambda scene: str(scene.objects[0].motion),
    ),
    "shapes": World(
        name="shapes",
        splits=shapeworld.SPLITS,
        families=(*shapeworld.FAMILIES, "follow_up"),
        words=shapeworld.FEATURE_WORDS,
        word_groups=tuple(shapeworld.FEATURE_GROUPS.values()),
        make_scene=shapeworld.make_scene,
        length=lambda scene: float(scene.seconds),
        render=shapeworld.render_frames,
        ask=shapeworld.make_questions,
        turns=lambda question: tuple((t.question, t.answer) for t in question.history),
        known_words=shapeworld.known_words,
        coverage=shapeworld.object_coverage,
        presence=shapeworld.object_presence,
        positions=shapeworld.object_positions,
        write_split=shapeworld.write_split,
        keep_objects=shapeworld.first_shot,
        motions=tuple(shapeworld.DIRECTIONS),
        motion=lambda scene: scene.objects[0].motion,
    ),
    "foreign": World(
        name="foreign",
        splits=FOREIGN_SPLITS,
        families=("foreign",),
        words=(),
        word_groups=(),
        make_scene=make_foreign_scene,
        length=lambda scene: float(scene.seconds),
        render=render_foreign,
        ask=ask_foreign,
        turns=lambda _: (),
        known_words=_refuse,
        coverage=_refuse,
        presence=_refuse,
        positions=_refuse,
        write_split=_refuse,
        keep_objects=_refuse,
        motions=(),
        motion=_refuse,
    ),
}
"""Every world by its name."""


def find_world(name: str) -> World:
    """Return the world with that name.

    Raises:
        RequestError: There is none.
    """
    if name not in WORLDS:
        raise RequestError(f"there is no world {name!r}: choose one of {', '.join(WORLDS)}")
    return WORLDS[name]
