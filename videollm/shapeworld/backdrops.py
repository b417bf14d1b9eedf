"""What is behind the objects: dark patterns that may drift, flicker and shake.

Legend: T times, S pixels of a side.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from videollm.shapeworld.casting import choose
from videollm.shapeworld.scene import Backdrop, Floats

__all__ = ["draw_backdrops", "paint_backdrop", "shakes"]

Singles = NDArray[np.float32]

_PATTERNS = {"plain": 0.2, "gradient": 0.25, "stripes": 0.2, "checks": 0.15, "clouds": 0.2}

_BASES = (
    (26, 26, 28),
    (18, 24, 60),
    (14, 44, 24),
    (52, 20, 22),
    (46, 34, 16),
    (12, 42, 46),
    (40, 18, 46),
    (58, 60, 64),
)
"""Colours of backgrounds: neighbours in time always have different ones, so that cuts show."""

_CLOUD_SIDE = 256


def draw_backdrops(num: int, rng: np.random.Generator) -> list[Backdrop]:
    """Draw the backdrops of consecutive shots, no two neighbours of one base colour."""
    bases: list[int] = []
    while len(bases) < num:
        others = [base for base in range(len(_BASES)) if base not in bases[-2:]]
        bases.append(others[int(rng.integers(len(others)))])
    return [_draw_backdrop(_BASES[base], rng) for base in bases]


def _draw_backdrop(base: tuple[int, int, int], rng: np.random.Generator) -> Backdrop:
    pattern = list(_PATTERNS)[choose(rng, tuple(_PATTERNS.values()))]
    first = np.array(base, dtype=np.float64) + rng.uniform(-4, 4, size=3)
    contrast = rng.uniform(0.25, 0.5)
    pair = [np.clip(first * (1 + sign * contrast), 2, 78).tolist() for sign in (-1, 1)]
    moving = rng.random() < 0.3
    return Backdrop(
        pattern=pattern,
        colours=(
            (pair[0][0], pair[0][1], pair[0][2]),
            (pair[1][0], pair[1][1], pair[1][2]),
        ),
        scale=float(rng.uniform(2.0, 5.0)),
        angle=float(rng.uniform(0, 2 * np.pi)),
        drift=float(rng.uniform(0.02, 0.08)) if moving else 0.0,
        flicker=float(rng.uniform(0.1, 0.3)) if rng.random() < 0.3 else 0.0,
        flicker_seconds=float(rng.uniform(2.0, 5.0)),
        shake=float(rng.uniform(0.004, 0.012)) if rng.random() < 0.25 else 0.0,
        phases=(float(rng.random()), float(rng.random())),
        noise=max(0.0, float(rng.uniform(-4, 4))),
    )


def shakes(drop: Backdrop, times: Floats) -> Floats:
    """Return (T, 2), how far the camera has moved everything, in frame sides."""
    if not drop.shake:
        return np.zeros((len(times), 2))
    rates, turn = np.array([1.7, 2.3]), 2 * np.pi
    return drop.shake * np.sin(turn * (times[:, None] * rates + np.array(drop.phases)))


def paint_backdrop(drop: Backdrop, times: Floats, size: int) -> Singles:
    """Return (T, 3, S, S), or (1, 3, S, S) where all frames are the same, in 0..255."""
    moving = bool(drop.drift or drop.shake) and drop.pattern != "plain"
    at = times if moving else times[:1]
    weights = _weights(drop, at, size)[:, None]
    low, high = np.array(drop.colours, dtype=np.float32)[:, :, None, None]
    picture: Singles = low + weights * (high - low)
    if drop.flicker:
        wave = np.sin(2 * np.pi * (times / drop.flicker_seconds + drop.phases[0]))
        light = (1 + drop.flicker * wave).astype(np.float32)
        picture = picture * light[:, None, None, None]
    return picture


def _weights(drop: Backdrop, times: Floats, size: int) -> Singles:
    """Return (T, S, S), 0..1: how much of the second colour is at each pixel."""
    if drop.pattern == "plain":
        return np.full((len(times), size, size), 0.5, dtype=np.float32)
    steps = (np.arange(size) + 0.5) / size - 0.5
    cos, sin = np.cos(drop.angle), np.sin(drop.angle)
    moved = shakes(drop, times) + times[:, None] * drop.drift * np.array([cos, sin])
    x = (steps - moved[:, :1]).astype(np.float32)[:, None, :]
    y = (steps - moved[:, 1:]).astype(np.float32)[:, :, None]
    if drop.pattern == "clouds":
        return _clouds(x[:, 0], y[:, :, 0], drop)
    along = x * np.float32(cos) + y * np.float32(sin)
    if drop.pattern == "gradient":
        return np.clip(along * np.float32(0.7) + np.float32(0.5), 0, 1)
    sharp = np.float32(3.0)
    wave = _triangle(along * np.float32(drop.scale) + np.float32(drop.phases[0]))
    weights = np.clip(wave * sharp + np.float32(0.5), 0, 1)
    if drop.pattern == "stripes":
        return weights
    across = y * np.float32(cos) - x * np.float32(sin)
    other = _triangle(across * np.float32(drop.scale) + np.float32(drop.phases[1]))
    other = np.clip(other * sharp + np.float32(0.5), 0, 1)
    return weights + other - 2 * weights * other


def _triangle(turns: Singles) -> Singles:
    """Return a triangle wave of period 1 from -0.5 to 0.5."""
    wave: Singles = np.abs(2 * (turns - np.floor(turns)) - 1) - np.float32(0.5)
    return wave


def _clouds(x: Singles, y: Singles, drop: Backdrop) -> Singles:
    """Return (T, S, S) cut from a periodic bank; x and y are (T, S)."""
    pixels = _CLOUD_SIDE * drop.scale / 10
    columns, rows = (
        np.floor(values * pixels + phase * _CLOUD_SIDE).astype(np.intp) % _CLOUD_SIDE
        for values, phase in ((x, drop.phases[0]), (y, drop.phases[1]))
    )
    return _cloud_bank()[rows[:, :, None], columns[:, None, :]]


@lru_cache(maxsize=1)
def _cloud_bank() -> Singles:
    """Return smooth periodic noise, (_CLOUD_SIDE, _CLOUD_SIDE) in 0..1, the same always."""
    rng = np.random.Generator(np.random.PCG64(1))
    rate = np.hypot(*np.meshgrid(*[np.fft.fftfreq(_CLOUD_SIDE)] * 2)) * _CLOUD_SIDE
    spectrum = np.exp(-((rate / 9) ** 2))
    noise_2d = np.fft.ifft2(np.fft.fft2(rng.standard_normal((_CLOUD_SIDE,) * 2)) * spectrum).real
    ranks = np.clip(noise_2d / noise_2d.std() / 3 + 0.5, 0, 1)
    return ranks.astype(np.float32)
