"""`videollm toyworld`: clips of the drawn worlds as files, and pages for review by eye."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["toyworld_app"]

toyworld_app = typer.Typer(
    help="Make toy-world videos with questions and answers.",
    rich_markup_mode=None,
    epilog="\b\nExample: videollm toyworld generate --split test_iid --num 10 --output clips",
)


class _Drawn(StrEnum):
    """Name the worlds that can be written to files."""

    TOY = "toy"
    SHAPES = "shapes"


SplitOption = Annotated[str, typer.Option("--split", help="train, val, test_iid, ...")]
OutputOption = Annotated[Path, typer.Option("--output", help="New or empty folder.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Another seed, another world.")]


@toyworld_app.command(
    epilog="\b\nExample: videollm toyworld generate --split val --num 10 --seed 1 --output clips"
)
def generate(
    split: SplitOption,
    num: Annotated[int, typer.Option("--num", min=1, help="How many clips.")],
    output: OutputOption,
    seed: SeedOption = 0,
    world: Annotated[
        _Drawn, typer.Option("--world", help="toy, the demo's, or shapes, the complete one.")
    ] = _Drawn.TOY,
) -> None:
    """Write mp4 clips and their questions (qa.jsonl) into a folder."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    from videollm.worlds import find_world

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("clips", total=num)
        summary = find_world(world.value).write_split(
            split, num, seed, output, progress=lambda done, _: bar.update(task, completed=done)
        )
    print(f"clips: {summary.num_videos}, questions: {summary.num_questions}", file=sys.stderr)
    print(summary.folder / "qa.jsonl")


@toyworld_app.command(
    epilog="\b\nExample: videollm toyworld review --split val --num 50 --output pages"
)
def review(
    output: OutputOption,
    split: SplitOption = "val",
    num: Annotated[int, typer.Option("--num", min=1, help="How many questions.")] = 50,
    seed: SeedOption = 0,
    size: Annotated[int, typer.Option("--size", min=16, help="Pixels of a frame's side.")] = 64,
) -> None:
    """Draw questions of the world of shapes with their frames, to be answered by eye."""
    from videollm.shapeworld import write_review

    summary = write_review(split, num, seed, output, size=size)
    for page in summary.pages:
        print(page)
    print(summary.answers)
