"""The sample clips of the chat page: drawn scenes with questions that suit them, and new ones.

Samples are made once, on the first start, into the cache folder; the same on every machine. The
files are ordinary H.264 videos and go through the same reader as an upload.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from videollm import runtime
from videollm.errors import DataError
from videollm.sampling import load_clip
from videollm.serve.frames import make_strip
from videollm.serve.sample_worlds import (
    DEFAULT_WORLD,
    FPS,
    SAMPLE_WORLDS,
    SEED,
    SIDE,
    SPLIT,
    write_long,
    write_scenes,
)

__all__ = ["NUM_SURPRISES", "Sample", "load_samples", "make_surprise", "surprise_folder"]

NUM_SAMPLES = 10
NUM_SURPRISES = 2**31
KEEP_SURPRISES_SECONDS = 6 * 3600
KEEP_SURPRISES = 100
"""A clip made for one visitor is deleted after this time, or this many others, when the next one is
made."""

Record = dict[str, str]


@dataclass(frozen=True)
class Sample:
    """Hold one clip on offer.

    Args:
        path: The file.
        title: What to call it.
        questions: Good questions about it.
        picture: One of its frames as a JPEG file.
        world: Of which it shows a scene.
    """

    path: Path
    title: str
    questions: tuple[str, ...]
    picture: bytes
    world: str


def load_samples(folder: Path | None = None, world: str = DEFAULT_WORLD) -> list[Sample]:
    """Return the sample clips, made first where they are missing; the last one is long.

    Args:
        folder: Where to keep them; the cache folder by default.
        world: A key of `SAMPLE_WORLDS`.

    Raises:
        DataError: The folder cannot be written.
    """
    base = runtime.cache_dir() / "samples" if folder is None else folder
    version = SAMPLE_WORLDS[world].version
    home = base / f"{world}-{SPLIT}-{SEED}-{NUM_SAMPLES}-{SIDE}-{FPS}-{version}"
    _make_once(home, lambda: write_scenes(world, home, NUM_SAMPLES, SEED))
    _make_once(home / "long", lambda: write_long(world, home / "long"))
    samples = [
        _sample(f"Clip {number}", world, number, entry)
        for number, entry in enumerate(_read(home), start=1)
    ]
    [(path, records)] = _read(home / "long")
    long = _sample(f"Clip {len(samples) + 1}: a minute", world, 0, (path, records))
    return [*samples, replace(long, questions=tuple(record["question"] for record in records))]


def _sample(title: str, world: str, number: int, entry: "tuple[Path, list[Record]]") -> Sample:
    path, records = entry
    questions = _pick_questions(records, world, number)
    return Sample(path, title, questions, _best_picture(path), world)


def surprise_folder(samples: Sequence[Sample]) -> Path:
    """Return where `make_surprise` keeps its clips, made first where it is missing.

    Args:
        samples: What `load_samples` returned; they are kept beside each other.

    Raises:
        DataError: The folder cannot be written.
    """
    home = samples[0].path.parents[2] / "surprises"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(home, error) from error
    return home


def make_surprise(samples: Sequence[Sample], number: int) -> Sample:
    """Return a clip that is none of the samples, and forget those made long ago.

    Args:
        samples: As in `surprise_folder`.
        number: Which clip, from 0 to below NUM_SURPRISES; the same number gives the same clip.

    Raises:
        DataError: The folder cannot be written.
    """
    home, world = surprise_folder(samples), samples[0].world
    own = home / f"{world}-{number}"
    _forget_old(home, besides=own)
    _make_once(own, lambda: write_scenes(world, own, 1, number))
    [entry] = _read(own)
    return _sample(f"Surprise {number}", world, number, entry)


def _forget_old(home: Path, *, besides: Path) -> None:
    kept = 0
    for clip in sorted(home.iterdir(), key=_last_change, reverse=True):
        if clip == besides:
            continue
        kept += 1
        if kept >= KEEP_SURPRISES or time.time() - _last_change(clip) > KEEP_SURPRISES_SECONDS:
            shutil.rmtree(clip, ignore_errors=True)


def _last_change(path: Path) -> float:
    """Return when something changed in a folder; 0 where it is gone, by somebody else's doing."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _make_once(home: Path, write: Callable[[], object]) -> None:
    if not (home / "qa.jsonl").is_file():
        try:
            write()
        except OSError as error:
            raise _cannot_write(home, error) from error


def _cannot_write(home: Path, error: OSError) -> DataError:
    return DataError(
        f"{home.parent}: the sample clips cannot be written there ({error}): set VIDEOLLM_CACHE "
        "to a folder that can be written"
    )


def _read(home: Path) -> list[tuple[Path, list[Record]]]:
    """Return the clips of a folder, each with what is asked about it."""
    lines = (home / "qa.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    names = list(dict.fromkeys(record["video"] for record in records))
    return [(home / name, [one for one in records if one["video"] == name]) for name in names]


def _best_picture(video: Path) -> bytes:
    """Return the frame with the most in it: objects come and go, and detail makes JPEGs large."""
    strip = make_strip(load_clip(video, num_frames=4))
    return max(strip.pictures, key=len)


def _pick_questions(records: Sequence[Record], world: str, number: int) -> tuple[str, ...]:
    """Return one question of each group; one that is not answered by yes or no, if there is."""
    questions = []
    for group in SAMPLE_WORLDS[world].suggested:
        start = number % len(group)
        families = [*group[start:], *group[:start]]
        fitting = [record for record in records if record["family"] in families]
        fitting.sort(key=lambda r: (r["answer"] in ("yes", "no"), families.index(r["family"])))
        questions += [record["question"] for record in fitting[:1]]
    return tuple(questions)
