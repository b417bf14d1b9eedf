"""The scene graph: a clip of one or more scenes, the objects in them, and all that happens.

It holds what is true and nothing of how it was drawn by lot (`making`, `plots`), of pixels
(`render`) or of words (`facts`). In code a scene between two cuts is a shot, and a `Scene` is all
that one clip shows, as in the toy world. Places are in units of the frame's side, x to the right,
y down; times in seconds from the start of the clip.

Legend: T times.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from videollm.shapeworld.vocabulary import COLOURS, DIRECTIONS

__all__ = ["Backdrop", "Event", "Scene", "SceneObject", "Shot", "Track", "first_shot"]

Floats = NDArray[np.float64]

_FADE_SECONDS = 0.2
"""How long a change of colour takes."""


@dataclass(frozen=True, slots=True)
class Track:
    """Hold values that change evenly between moments, and not at all before and after.

    Args:
        seconds: Rising moments, at least one.
        values: The value at each.
    """

    seconds: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, times: Floats) -> Floats:
        """Return the values (T,) at `times` (T,) in seconds."""
        if len(self.values) == 1:
            return np.full(len(times), self.values[0])
        return np.interp(times, self.seconds, self.values)


@dataclass(frozen=True, slots=True)
class Event:
    """Hold something that happens to an object.

    Args:
        kind: "enters", "leaves", "starts", "stops", "bounces", "collides", "turns" (begins to
            rotate), "rests" (ends to rotate), "grows", "shrinks" or "recolours".
        seconds: The moment that it is said to happen.
        detail: The side, the new colour, or the number of the other object; "" for none.
    """

    kind: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SceneObject:
    """Hold one object, which belongs to one shot.

    Args:
        number: Its place in `Scene.objects`.
        shot: The number of its shot.
        colour: One of `COLOURS`, at first.
        shape: One of `SHAPES`.
        size: One of `SIZES`, at first.
        fill: One of `FILLS`.
        plot: One of `PLOTS`.
        direction: One of `DIRECTIONS` for an object that moves in a straight line, else "".
        speed: One of `SPEEDS` for it, else "".
        side: One of `SIDES` for one that enters, leaves or bounces, else "".
        begin_seconds: When its shot begins.
        end_seconds: When its shot ends.
        x: Of its centre; beyond 0..1 it is outside the frame.
        y: Likewise.
        radius: In frame sides.
        angle: Turned by so many radians, clockwise as seen.
        events: What happens to it, in order of time.
    """

    number: int
    shot: int
    colour: str
    shape: str
    size: str
    fill: str
    plot: str
    direction: str
    speed: str
    side: str
    begin_seconds: float
    end_seconds: float
    x: Track
    y: Track
    radius: Track
    angle: Track
    events: tuple[Event, ...]

    @property
    def pair(self) -> tuple[str, str]:
        """Return (colour, shape), which no other object of a short clip has."""
        return self.colour, self.shape

    @property
    def last_colour(self) -> str:
        """Return its colour at the end."""
        for event in self.events:
            if event.kind == "recolours":
                return event.detail
        return self.colour

    @property
    def last_size(self) -> str:
        """Return its size at the end."""
        for event in self.events:
            if event.kind in ("grows", "shrinks"):
                return "large" if event.kind == "grows" else "small"
        return self.size

    @property
    def change(self) -> Event | None:
        """Return its growing, shrinking or change of colour; None if it stays as it is."""
        changes = ("grows", "shrinks", "recolours")
        return next((event for event in self.events if event.kind in changes), None)

    @property
    def motion(self) -> str | None:
        """Return the direction of a straight way that begins and ends in the frame, or None."""
        return self.direction if self.plot == "moves" else None

    def in_shot(self, times: Floats) -> NDArray[np.bool_]:
        """Return (T,) bool: whether its shot is on at each time of `times` (T,)."""
        return (times >= self.begin_seconds) & (times < self.end_seconds)

    def present(self, times: Floats) -> NDArray[np.bool_]:
        """Return (T,) bool: whether at least half of it is within the frame."""
        x, y = self.x.at(times), self.y.at(times)
        return self.in_shot(times) & (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)

    def positions(self, times: Floats) -> Floats:
        """Return (T, 2), x and y of its centre."""
        return np.stack((self.x.at(times), self.y.at(times)), axis=-1)

    def velocities(self, times: Floats) -> Floats:
        """Return (T, 2), frame sides a second, 0 where it rests."""
        step = 1e-3
        return (self.positions(times + step) - self.positions(times - step)) / (2 * step)

    def colours(self, times: Floats) -> NDArray[np.float32]:
        """Return (T, 3), RGB in 0..255."""
        first = np.array(COLOURS[self.colour], dtype=np.float32)
        change = self.change
        if change is None or change.kind != "recolours":
            return np.broadcast_to(first, (len(times), 3))
        last = np.array(COLOURS[change.detail], dtype=np.float32)
        share = np.clip((times - change.seconds) / _FADE_SECONDS + 0.5, 0.0, 1.0)
        return first + share.astype(np.float32)[:, None] * (last - first)

    def heading(self) -> tuple[float, float]:
        """Return the unit step of its straight way; (0, 0) where it has none."""
        return DIRECTIONS.get(self.direction, (0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Backdrop:
    """Hold what is behind the objects of a shot, and what the camera does.

    Args:
        pattern: "plain", "gradient", "stripes", "checks" or "clouds".
        colours: Two RGB in 0..255, dark.
        scale: Waves, or squares, along a side.
        angle: Direction of the pattern in radians.
        drift: Frame sides a second that the pattern moves.
        flicker: Share by which the light changes.
        flicker_seconds: In what time.
        shake: Frame sides by which the camera shakes.
        phases: Two numbers in 0..1 that tell shakes and patterns apart.
        noise: Size of the sensor noise in levels of 0..255.
    """

    pattern: str
    colours: tuple[tuple[float, float, float], tuple[float, float, float]]
    scale: float
    angle: float
    drift: float
    flicker: float
    flicker_seconds: float
    shake: float
    phases: tuple[float, float]
    noise: float


@dataclass(frozen=True, slots=True)
class Shot:
    """Hold the part of a clip between two cuts.

    Args:
        begin_seconds: First moment.
        end_seconds: First moment after it.
        backdrop: What is behind its objects.
    """

    begin_seconds: float
    end_seconds: float
    backdrop: Backdrop


@dataclass(frozen=True, slots=True)
class Scene:
    """Hold everything that determines the pictures of one clip and the answers about it.

    Args:
        split: One of `SPLITS`.
        index: Its number in the split.
        seed: Seed of the whole world.
        seconds: Length of the clip.
        shots: In order of time, at least one.
        objects: By shot; a later one hides an earlier one.
        needles: For a long clip the numbers of the objects that can be asked about.
    """

    split: str
    index: int
    seed: int
    seconds: float
    shots: tuple[Shot, ...]
    objects: tuple[SceneObject, ...]
    needles: tuple[int, ...] = ()

    @property
    def is_quiet(self) -> bool:
        """Whether it is a long clip that shows its needles and nothing else."""
        return 0 < len(self.needles) == len(self.objects)

    def shot_objects(self, number: int) -> tuple[SceneObject, ...]:
        """Return the objects of a shot."""
        first, last = (
            bisect_left(self.objects, bound, key=lambda thing: thing.shot)
            for bound in (number, number + 1)
        )
        return self.objects[first:last]

    def shot_numbers(self, times: Floats) -> NDArray[np.intp]:
        """Return (T,), the number of the shot at each time; the nearest one outside the clip."""
        begins = np.array([shot.begin_seconds for shot in self.shots[1:]])
        return np.searchsorted(begins, times, side="right")


def first_shot(scene: Scene, count: int) -> Scene:
    """Return the first shot of a clip as a clip of its own, with its first `count` objects."""
    shot = scene.shots[0]
    objects = scene.shot_objects(0)[:count]
    return replace(scene, seconds=shot.end_seconds, shots=(shot,), objects=objects, needles=())
