"""Which checkpoint a run goes on from: the newest one that was written to its end.

The Trainer writes `checkpoint-N` in place and, asked to resume, takes the highest number even
when a kill left it half-written. Here a marker file goes in last; a folder without it is never
resumed from.
"""

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from videollm.encoder.config import FORMAT_VERSION
from videollm.errors import RecipeError

__all__ = ["MARKER", "MarkComplete", "find_resume_point", "newest_complete", "set_aside_incomplete"]

logger = logging.getLogger(__name__)

MARKER = "complete.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)$")


class MarkComplete(TrainerCallback):
    """Write the marker of a checkpoint after every other file of it."""

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Mark the checkpoint of this step; the rename makes the marker appear whole."""
        if not state.is_world_process_zero:
            return
        assert args.output_dir is not None
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        # Pickled arguments, tokens of services included; nothing reads them, recipe.yaml has all.
        (folder / "training_args.bin").unlink(missing_ok=True)
        marker = {"step": state.global_step, "format_version": FORMAT_VERSION}
        draft = folder / f"{MARKER}.part"
        draft.write_text(json.dumps(marker) + "\n", encoding="utf-8")
        os.replace(draft, folder / MARKER)


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    found = []
    for path in folder.glob("checkpoint-*"):
        match = _CHECKPOINT.match(path.name)
        if match and path.is_dir():
            found.append((int(match.group(1)), path))
    return sorted(found)


def newest_complete(folder: Path) -> Path | None:
    """Return the complete checkpoint of the highest step in `folder`, or None."""
    complete = [path for _, path in _numbered(folder) if (path / MARKER).is_file()]
    return complete[-1] if complete else None


def set_aside_incomplete(folder: Path) -> list[Path]:
    """Rename half-written checkpoints, so that rotation does not count them.

    Rotation keeps the newest N folders by time; were a half-written one among them, the last
    complete one could be deleted for it.

    Returns:
        The new paths, `incomplete-checkpoint-N`.
    """
    moved = []
    for _, path in _numbered(folder):
        if not (path / MARKER).is_file():
            target = path.with_name(f"incomplete-{path.name}")
            number = 1
            while target.exists():
                number += 1
                target = path.with_name(f"incomplete-{path.name}-{number}")
            path.rename(target)
            logger.warning("%s was not written to its end; set aside as %s", path, target.name)
            moved.append(target)
    return moved


def find_resume_point(folder: Path, resume: str) -> Path | None:
    """Return the checkpoint to go on from, or None to start afresh.

    Args:
        folder: The run's output folder; need not exist.
        resume: "auto" (the newest complete checkpoint of `folder`, if any), "never", or the
            folder of a checkpoint.

    Raises:
        RecipeError: A folder was named that is no complete checkpoint, or its format is another.
    """
    if resume == "never":
        return None
    path = newest_complete(folder) if resume == "auto" else Path(resume)
    if path is None:
        return None
    if not (path / MARKER).is_file():
        newest = newest_complete(path.parent)
        remedy = f"the newest complete one there is {newest}" if newest else "use auto or never"
        raise RecipeError(f"resume: {path} is not a complete checkpoint (no {MARKER}); {remedy}")
    version = _marker(path).get("format_version", 1)
    if version != FORMAT_VERSION:
        raise RecipeError(
            f"resume: {path} is of format_version {version}, this videollm goes on from "
            f"{FORMAT_VERSION}: use the videollm that wrote it, or start anew with resume: never"
        )
    return path


def _marker(checkpoint: Path) -> dict[str, Any]:
    marker: dict[str, Any] = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))
    return marker


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step that a complete checkpoint was written after."""
    return int(_marker(checkpoint)["step"])
