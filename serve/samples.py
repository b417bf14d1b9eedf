"""The sample clips of the chat page: toy-world scenes with questions that suit them.

Made once, on the first start, into the cache folder; the same on every machine. The files are
ordinary H.264 videos and go through the same reader as an upload.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from videollm import runtime
from videollm.errors import DataError
from videollm.sampling import load_clip
from videollm.serve.frames import make_strip
from videollm.toyworld import write_split

__all__ = ["Sample", "load_samples"]

SPLIT = "test_iid"
SEED = 353
NUM_SAMPLES = 6
SIDE = 256
FPS = 16

FOLDER = f"{SPLIT}-{SEED}-{NUM_SAMPLES}-{SIDE}-{FPS}-v1"
"""Names everything that the files depend on; change the version when the renderer changes."""

SUGGESTED = (
    ("motion",),
    ("colour", "count"),
    ("order", "position", "shape", "size", "existence"),
)
"""Each sample suggests one question of each group, of another family than its neighbours."""


@dataclass(frozen=True)
class Sample:
    """Hold one clip on offer.

    Args:
        path: The file.
        title: What to call it.
        questions: Good questions about it.
        picture: One of its frames as a JPEG file.
    """

    path: Path
    title: str
    questions: tuple[str, ...]
    picture: bytes


def load_samples(folder: Path | None = None) -> list[Sample]:
    """Return the sample clips, made first where they are missing.

    Args:
        folder: Where to keep them; the cache folder by default.

    Raises:
        DataError: The folder cannot be written.
    """
    base = runtime.cache_dir() / "samples" if folder is None else folder
    home = base / FOLDER
    if not (home / "qa.jsonl").is_file():
        try:
            write_split(
                SPLIT,
                NUM_SAMPLES,
                SEED,
                home,
                size=SIDE,
                fps=FPS,
                questions_per_video=60,
                overwrite=True,
            )
        except OSError as error:
            raise DataError(
                f"{base}: the sample clips cannot be written there ({error}): set VIDEOLLM_CACHE "
                "to a folder that can be written"
            ) from error
    lines = (home / "qa.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    names = list(dict.fromkeys(record["video"] for record in records))
    return [
        Sample(
            path=home / name,
            title=f"Clip {number}",
            questions=_pick_questions([r for r in records if r["video"] == name], number),
            picture=_best_picture(home / name),
        )
        for number, name in enumerate(names, start=1)
    ]


def _best_picture(video: Path) -> bytes:
    """Return the frame with the most in it: objects come and go, and detail makes JPEGs large."""
    strip = make_strip(load_clip(video, num_frames=4))
    return max(strip.pictures, key=len)


def _pick_questions(records: Sequence[dict[str, str]], number: int) -> tuple[str, ...]:
    """Return one question of each group; one that is not answered by yes or no, if there is."""
    questions = []
    for group in SUGGESTED:
        start = number % len(group)
        families = [*group[start:], *group[:start]]
        fitting = [record for record in records if record["family"] in families]
        fitting.sort(key=lambda r: (r["answer"] in ("yes", "no"), families.index(r["family"])))
        questions += [record["question"] for record in fitting[:1]]
    return tuple(questions)
