"""`videollm convert`: published weights to models of ours, with an account of every key."""

import contextlib
import json
import re
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from videollm.encoder.convert import Conversion

__all__ = ["convert_app"]

_STATUSES = ("mapped", "interpolated", "new", "dropped")

convert_app = typer.Typer(
    help="Turn published weights into models of ours.",
    rich_markup_mode=None,
    epilog="\b\nExample: videollm convert videomamba videomamba_m16.pth encoder",
)


@convert_app.command(
    epilog="\b\nExample: videollm convert videomamba videomamba_m16.pth encoder "
    "--layer-pattern MMMMT"
)
def videomamba(
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT", help="A .pth or .safetensors.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="New or empty folder.")],
    layer_pattern: Annotated[
        str, typer.Option("--layer-pattern", help="M: as published. MMMMT: with silent T layers.")
    ] = "M",
    image_size: Annotated[
        int | None, typer.Option("--image-size", min=1, help="Side in pixels  [default: its own].")
    ] = None,
    num_frames: Annotated[
        int | None, typer.Option("--num-frames", min=1, help="Of a clip  [default: its own].")
    ] = None,
    tubelet_size: Annotated[
        int | None, typer.Option("--tubelet-size", min=1, help="For image models  [default: 1].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every key as JSON.")] = False,
) -> None:
    """Turn a published VideoMamba checkpoint into a model folder."""
    with contextlib.redirect_stdout(sys.stderr):
        from videollm.convert import convert_videomamba_file

        conversion = convert_videomamba_file(
            checkpoint,
            output,
            layer_pattern=layer_pattern,
            image_size=image_size,
            num_frames=num_frames,
            tubelet_size=tubelet_size,
        )
    counts: Counter[str] = Counter(record.status for record in conversion.records)
    if as_json:
        report = {
            "output": str(output),
            "model": type(conversion.model).__name__,
            "counts": {status: counts[status] for status in _STATUSES},
            "keys": [asdict(record) for record in conversion.records],
        }
        print(json.dumps(report, indent=2))
        return
    _print_table(conversion)
    print(
        f"\n{', '.join(f'{counts[status]} {status}' for status in _STATUSES)}; "
        f"{type(conversion.model).__name__} in {output}"
    )


def _print_table(conversion: "Conversion") -> None:
    """Print what became of the keys, those of equal layers as one row."""
    rows = Counter(
        (
            record.status,
            _pattern(record.source),
            _pattern(record.target),
            " x ".join(map(str, record.shape)),
            record.note,
        )
        for record in conversion.records
    )
    lines: list[tuple[str, ...]] = [("status", "keys", "from", "to", "shape", "note")]
    lines += [(status, str(number), *rest) for (status, *rest), number in rows.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = zip(line, widths, strict=True)
        print("  ".join(cell.ljust(width) for cell, width in cells).rstrip())


def _pattern(name: str | None) -> str:
    return "-" if name is None else re.sub(r"\b(layers|clip_decoder)\.\d+", r"\1.*", name)
