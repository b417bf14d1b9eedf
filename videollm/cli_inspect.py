"""`videollm inspect`: what a video is, what is wrong with it, and how it looks."""

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videollm.cli_frames import EndOption, SamplingOption, StartOption
from videollm.errors import RequestError

if TYPE_CHECKING:
    from videollm.clip import Clip

__all__ = ["EPILOG", "inspect"]

EPILOG = "\b\nExample: videollm inspect clip.mp4 --sheet clip.png"


def inspect(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A video, folder of images, address or camera:0."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write frames and their times to this PNG.")
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", min=1, max=400, help="Frames of the sheet.")
    ] = 12,
    side: Annotated[
        int, typer.Option("--side", min=16, help="Longer side of its pictures, in pixels.")
    ] = 320,
    sampling: SamplingOption = None,
    start: StartOption = None,
    end: EndOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Decode all of it, to find every damage.")
    ] = False,
    fps: Annotated[
        float | None, typer.Option("--fps", help="Rate of a folder of images  [default: 25].")
    ] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", help="pyav, decord or torchcodec  [default: pyav].")
    ] = None,
) -> None:
    """Say what a video is and what is wrong with it; draw a contact sheet."""
    from videollm.inspection import inspect_source, report_lines

    choice: dict[str, Any] = {"sampling": sampling, "start_seconds": start, "end_seconds": end}
    choice = {name: value for name, value in choice.items() if value is not None}
    _require_sheet(sheet, choice)
    # Libraries that print would spoil the one thing that belongs on stdout.
    with contextlib.redirect_stdout(sys.stderr):
        found = inspect_source(
            source,
            fps=fps,
            backend=backend,
            check=check,
            num_frames=frames if sheet is not None else 0,
            max_side=side,
            **choice,
        )
        if sheet is not None:
            assert found.clip is not None, "frames were asked for"
            _write_sheet(found.clip, sheet)
    lines = [json.dumps(found.to_dict(), ensure_ascii=False)] if as_json else report_lines(found)
    print("\n".join(lines))


def _require_sheet(sheet: Path | None, choice: dict[str, Any]) -> None:
    if sheet is None:
        if choice:
            raise RequestError("--sampling, --start and --end choose frames: give --sheet, too")
        return
    if sheet.suffix.lower() != ".png":
        raise RequestError(f"--sheet is {sheet}; give a name that ends in .png")
    if not sheet.parent.is_dir():
        raise RequestError(f"--sheet is {sheet}; there is no folder {sheet.parent}: make it first")
    if choice.get("sampling") == "fps":
        raise RequestError("--sampling fps: a sheet has a number of frames; choose another policy")


def _write_sheet(clip: "Clip", sheet: Path) -> None:
    from videollm.contact_sheet import contact_sheet

    try:
        contact_sheet(clip).save(sheet)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RequestError(f"--sheet {sheet} cannot be written ({reason})") from error
