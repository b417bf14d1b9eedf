"""Not the shape world: clips of other kinds, which teach a model to say that it does not know them.

Noise, gradients, waves, slides with text, landscapes and clutter are for training; bars, rings and
screens come in tests alone. The questions are those that the shape world asks; the answer to all
of them is one honest sentence.

Legend: T times, S pixels of a side.
"""

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from videollm.clip import Clip
from videollm.shapeworld.families import ACCOUNT_FAMILIES, FAMILIES
from videollm.shapeworld.making import make_scene
from videollm.shapeworld.questions import Question, make_questions
from videollm.shapeworld.splits import generator_for

__all__ = [
    "FOREIGN_ANSWER",
    "FOREIGN_SPLITS",
    "ForeignScene",
    "ask_foreign",
    "make_foreign_scene",
    "render_foreign",
]

FOREIGN_ANSWER = (
    "This does not look like the scenes I was trained on, coloured shapes on dark backgrounds, so "
    "I cannot answer that."
)

FOREIGN_SPLITS = ("train", "val", "test_iid", "test_compositional")
"""`test_compositional` shows the kinds that are never trained."""

_STREAM, _PICTURE_STREAM = 3, 4
Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ForeignScene:
    """Hold what a clip of another kind is: `kind` is a key of the drawing functions."""

    split: str
    index: int
    seed: int
    seconds: float
    kind: str


def make_foreign_scene(split: str, index: int, seed: int = 0) -> ForeignScene:
    """Return clip number `index` of a split.

    Raises:
        RequestError: The split is unknown, or index or seed is negative.
    """
    rng = generator_for(split, index, seed, _STREAM)
    kinds = list(_UNTRAINED if split == "test_compositional" else _TRAINED)
    return ForeignScene(
        split, index, seed, float(rng.integers(4, 9)), kinds[int(rng.integers(len(kinds)))]
    )


def render_foreign(
    scene: ForeignScene, *, size: int = 64, times: Sequence[float] | NDArray[np.float64]
) -> Clip:
    """Draw a clip at `times` (T,) in seconds, `size` pixels a side; snow falls anew each time."""
    rng = generator_for(scene.split, scene.index, scene.seed, _PICTURE_STREAM)
    at = np.asarray(times, dtype=np.float64)
    draw = (_TRAINED | _UNTRAINED)[scene.kind]
    # Darkness alone must not look like home.
    light = rng.uniform(0.25, 0.6) if rng.random() < 0.35 else 1.0
    frames = np.clip(light * draw(at, size, rng), 0, 255).astype(np.uint8)
    return Clip(torch.from_numpy(np.ascontiguousarray(frames)), torch.from_numpy(at.copy()))


def ask_foreign(
    scene: ForeignScene,
    split: str,
    *,
    count: int,
    seed: int,
    families: Sequence[str] | None = None,
    choice_fraction: float = 0.0,
) -> list[Question]:
    """Return questions of the shape world about a clip that is not of it, all with one answer.

    The arguments are those of `make_questions`; families other than follow-ups are mixed.
    """
    del families, choice_fraction
    other = "train" if split == "train" else "val"
    names = [name for name in FAMILIES if name not in ACCOUNT_FAMILIES or scene.index % 2]
    asked = make_questions(
        make_scene(other, scene.index, seed), other, count=count, seed=seed + 1, families=names
    )
    return [
        replace(
            question,
            id=f"foreign-{split}-{question.id}",
            family="foreign",
            answer=FOREIGN_ANSWER,
            choices=(),
            aliases=(FOREIGN_ANSWER.split(",")[0],),
        )
        for question in asked
    ]


def _grid(size: int) -> tuple[Singles, Singles]:
    steps: Singles = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    return steps[None, :], steps[:, None]


def _hues(rng: np.random.Generator, num: int, low: float = 0, high: float = 255) -> Singles:
    return rng.uniform(low, high, size=(num, 3)).astype(np.float32)


def _smooth(rng: np.random.Generator, side: int, size: int) -> Singles:
    """Return smooth noise (S, S) in 0..1 with about `side` bumps along a side."""
    small = rng.random((side, side)).astype(np.float32)
    grown = Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(grown, dtype=np.float32)


def _fractal(rng: np.random.Generator, size: int) -> Singles:
    octaves = [_smooth(rng, min(2**k, size), size) / 2**k for k in range(1, 6)]
    total: Singles = np.sum(octaves, axis=0)
    low, high = total.min(), total.max()
    scaled: Singles = (total - low) / max(float(high - low), 1e-6)
    return scaled


def _noise(times: NDArray[np.float64], size: int, rng: np.random.Generator) -> Singles:
    """Return snow, grey or coloured, fine or coarse."""
    channels, coarse = (3 if rng.random() < 0.5 else 1), int(rng.integers(1, 5))
    side = -(-size // coarse)
    snow = rng.uniform(0, 255, size=(len(times), channels, side, side)).astype(np.float32)
    snow = snow.repeat(coarse, axis=2).repeat(coarse, axis=3)[:, :, :size, :size]
    return np.broadcast_to(snow, (len(times), 3, size, size))


def _gradient(times: NDArray[np.float64], size: int, rng: np.random.Generator) -> Singles:
    """Return a bright gradient that turns."""
    x, y = _grid(size)
    one, other = _hues(rng, 2, 60)
    angles = rng.uniform(0, 6.3) + times * rng.uniform(-0.5, 0.5)
    share = np.stack([(x - 0.5) * np.cos(a) + (y - 0.5) * np.sin(a) + 0.5 for a in angles])
    mixed: Singles = one[:, None, None] + share[:, None] * (other - one)[:, None, None]
    return mixed


def _waves(times: NDArray[np.float64], size: int, rng: np.random.Generator) -> Singles:
    """Return interfering coloured waves over the whole picture."""
    x, y = _grid(size)
    rates, phases = rng.uniform(-14, 14, size=(3, 2, 2)), rng.uniform(0, 6.3, size=(3, 2))
    planes = []
    for channel in range(3):
        wave = sum(
            np.sin(rates[channel, k, 0] * x + rates[channel, k, 1] * y + phases[channel, k] + t)
            for k in range(2)
            for t in (times[:, None, None] * (k + 0.5),)
        )
        planes.append(127 + 60 * np.asarray(wave))
    return np.stack(planes, axis=1).astype(np.float32)


def _slides(times: NDArray[np.float64], size: int, rng: np.random.Generator) -> Singles:
    """Return pages of words, one after the other."""
    pages = []
    for _ in range(3):
        dark = rng.random() < 0.3
        page = Image.new("RGB", (size, size), (25, 25, 40) if dark else (245, 243, 235))
        pen = ImageDraw.Draw(page)
        for line in range(2, size, 10):
            letters = rng.choice(
                list(string.ascii_lowercase + "    "), size=int(rng.integers(4, 14))
            )
            pen.text((3, line), "".join(letters), fill=(230, 230, 230) if dark else (30, 30, 30))
        pages.append(np.asarray(page, dtype=np.float32).transpose(2, 0, 1))
    return np.stack([pages[int(t / 2.5) % 3] for t in times])


def _landscape(times: NDArray[np.float64], size: int, rng: np.random.Generator) -> Singles:
    """Return sky, hills of fractal noise and a sun, with the camera panning."""
    wide = 2 * size
    x, y = _grid(wide)
    sky, haze, hill, grass = _hues(rng, 4, 60, 230)
    picture = sky[:, None, None] + (haze - sky)[:, None, None] * np.broadcast_to(y, (wide, wide))
    light = _fractal(rng, wide)
    for level, colour in ((0.45, hill), (0.65, grass)):
        edge = level + 0.25 * (_fractal(rng, wide)[:1] - 0.5)
        ground = (0.6 + 0.7 * light) * colour[:, None, None]
        picture = np.where(y > edge, ground, picture)
    sun = np.hypot(x - rng.uniform(0.2, 0.8), y - 0.15) < 0.04
    picture = np.where(sun, np.float32(250), picture)
    top, speed = int(rng.integers(0, size // 2)), rng.uniform(2, 8)
    starts = [int(abs(t * speed) % size) for t in times]
    return np.stack([picture[:, top : top + size, left : left + size] for left in starts])


def _clutter(times: NDArray[np.float64], size: int, rng: np.random.Generator) -> Singles:
    """Return many overlapping bright patches that drift, as on a crowded table."""
    base = 120 + 120 * _fractal(rng, size)
    patches = [
        (rng.random(2), rng.uniform(-0.05, 0.05, 2), rng.uniform(0.1, 0.4, 2)) for _ in range(14)
    ]
    colours = _hues(rng, 14, 30, 240)
    x, y = _grid(size)
    frames = []
    for t in times:
        frame = np.broadcast_to(base, (3, size, size))
        for (place, drift, extent), colour in zip(patches, colours, strict=True):
            left, top = (place + drift * t) % 1
            inside = (np.abs(x - left) < extent[0] / 2) & (np.abs(y - top) < extent[1] / 2)
            frame = np.where(inside, 0.7 * colour[:, None, None] + 0.3 * frame, frame)
        frames.append(frame)
    return np.stack(frames).astype(np.float32)


def _bars(times: NDArray[np.float64], size: int, rng: np.random.Generator) -> Singles:
    """Return a test picture of colour bars that roll."""
    bars = _hues(rng, 7, 40).T[:, None, :].repeat(-(-size // 7), axis=2)[:, :, :size]
    picture = bars.repeat(size, axis=1)
    speed = int(rng.integers(-6, 7))
    return np.stack([np.roll(picture, int(t * speed), axis=2) for t in times])


def _rings(times: NDArray[np.float64], size: int, rng: np.random.Generator) -> Singles:
    """Return rings that run outwards over the whole picture."""
    x, y = _grid(size)
    away = np.hypot(x - rng.uniform(0.3, 0.7), y - rng.uniform(0.3, 0.7))
    one, other = _hues(rng, 2, 20)
    share = 0.5 + 0.5 * np.sin(away * rng.uniform(30, 70) - times[:, None, None] * 3)
    rings: Singles = one[:, None, None] + share[:, None] * (other - one)[:, None, None]
    return rings


def _screens(times: NDArray[np.float64], size: int, rng: np.random.Generator) -> Singles:
    """Return the window of a program: bars, panes and lines of text, with a moving pointer."""
    page = Image.new("RGB", (size, size), (236, 238, 240))
    pen = ImageDraw.Draw(page)
    accent = tuple(int(value) for value in _hues(rng, 1, 40, 200)[0])
    pen.rectangle((0, 0, size, size // 8), fill=accent)
    pen.rectangle((0, size // 8, size // 4, size), fill=(210, 214, 220))
    for line in range(size // 8 + 4, size - 3, 5):
        pen.line(
            (size // 4 + 4, line, size // 4 + int(rng.integers(8, size // 2 + 8)), line), (90,) * 3
        )
    picture = np.asarray(page, dtype=np.float32).transpose(2, 0, 1)
    frames = []
    for t in times:
        frame = picture.copy()
        left, top = (int((0.5 + 0.3 * f(t)) * size) for f in (np.sin, np.cos))
        frame[:, top : top + 4, left : left + 3] = 10
        frames.append(frame)
    return np.stack(frames)


_Drawing = Callable[[NDArray[np.float64], int, np.random.Generator], Singles]

_TRAINED: dict[str, _Drawing] = {
    "noise": _noise,
    "gradient": _gradient,
    "waves": _waves,
    "slides": _slides,
    "landscape": _landscape,
    "clutter": _clutter,
}
_UNTRAINED: dict[str, _Drawing] = {"bars": _bars, "rings": _rings, "screens": _screens}
