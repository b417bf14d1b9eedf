"""How the sample clips of each drawn world are made, and which questions suit them.

A model is shown clips of the world that it was trained on, as the recipe in its folder says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from videollm.clip import Clip
from videollm.shapeworld import needles as shape_needles
from videollm.shapeworld import render_frames
from videollm.toyworld.long_videos import make_long_video
from videollm.toyworld.needles import needle_questions
from videollm.toyworld.writer import describe_question, write_clips
from videollm.worlds import WORLDS

__all__ = ["DEFAULT_WORLD", "SAMPLE_WORLDS", "SampleWorld", "world_of"]

DEFAULT_WORLD = "toy"
"""The released demo's."""

SPLIT = "test_iid"
SEED = 353
SIDE = 256
FPS = 16
LONG_MINUTES = 1.0
LONG_FPS = 8
LONG_DEPTHS = (0.4,)


@dataclass(frozen=True, kw_only=True)
class SampleWorld:
    """Hold what the samples of one world need.

    Args:
        version: Names everything that the files depend on beside what is above; change it when
            the renderer changes.
        suggested: Each sample suggests one question of each of these groups of families, of
            another family than its neighbours.
        long_video: To (frames at these seconds, questions) of the long sample.
    """

    version: str
    suggested: tuple[tuple[str, ...], ...]
    long_video: Callable[[np.ndarray], tuple[Clip, list[dict[str, object]]]]


def write_scenes(world: str, home: Path, num: int, seed: int) -> None:
    """Write clips of a world with what may be asked about them."""
    asked = tuple(name for group in SAMPLE_WORLDS[world].suggested for name in group)
    WORLDS[world].write_split(
        *(SPLIT, num, seed, home),
        size=SIDE,
        fps=FPS,
        questions_per_video=60,
        families=asked,
        overwrite=True,
    )


def write_long(world: str, home: Path) -> None:
    """Write the clip of a minute with what may be asked about it."""
    times = np.arange(round(60 * LONG_MINUTES * LONG_FPS)) / LONG_FPS
    write_clips(
        lambda _: SAMPLE_WORLDS[world].long_video(times),
        *(1, home),
        fps=LONG_FPS,
        overwrite=True,
        progress=None,
    )


def world_of(model: str | Path) -> str:
    """Return the world that a model was trained on: what its folder's recipe says, or the demo's.

    Args:
        model: A folder, "demo", or a name on the hub.
    """
    recipe = Path(model) / "recipe.yaml"
    if not recipe.is_file():
        return DEFAULT_WORLD
    try:
        settings = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return DEFAULT_WORLD
    world = settings.get("world") if isinstance(settings, dict) else None
    return world if isinstance(world, str) and world in SAMPLE_WORLDS else DEFAULT_WORLD


def _toy_long(times: np.ndarray) -> tuple[Clip, list[dict[str, object]]]:
    video = make_long_video("busy", 0, SEED, minutes=LONG_MINUTES, depths=list(LONG_DEPTHS))
    questions = [describe_question(one, SPLIT, video.seconds) for one in needle_questions(video)]
    return video.render(times.tolist(), size=SIDE), questions


def _shapes_long(times: np.ndarray) -> tuple[Clip, list[dict[str, object]]]:
    scene = shape_needles.make_needle_scene(
        "busy", 0, SEED, minutes=LONG_MINUTES, depths=LONG_DEPTHS
    )
    asked = shape_needles.needle_questions(scene)
    questions = [describe_question(one, SPLIT, scene.seconds) for one in asked]
    return render_frames(scene, size=SIDE, times=times), questions


SAMPLE_WORLDS: dict[str, SampleWorld] = {
    "toy": SampleWorld(
        version="v3",
        suggested=(
            ("motion",),
            ("colour", "count"),
            ("order", "position", "shape", "size", "existence"),
        ),
        long_video=_toy_long,
    ),
    "shapes": SampleWorld(
        version="v1",
        suggested=(
            ("motion", "direction", "change", "speed"),
            ("colour", "count", "shape", "fill"),
            ("story", "order", "time", "position", "scenes", "caption"),
        ),
        long_video=_shapes_long,
    ),
}
"""World to how its samples are made."""
