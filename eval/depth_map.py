"""The heat map of needles: right answers by where the needle is and how long the video is.

One map for each condition, depths down and lengths across.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from videollm.eval.predictions import Prediction

__all__ = ["depth_cells", "draw_depths"]

_CELL_WIDTH, _CELL_HEIGHT = 88, 34
_LEFT, _TOP, _GAP = 64, 64, 24
_LEAST_WIDTH = 150
_WRONG, _RIGHT = (178, 44, 40), (38, 128, 84)
_MIDDLE = (240, 224, 160)
_INK = (30, 30, 30)


def depth_cells(
    predictions: Sequence[Prediction],
) -> dict[str, dict[tuple[float, float], float]]:
    """Return by condition and (depth in percent, minutes) the share of right answers, 0 to 1.

    Args:
        predictions: Those of one task, scored; those without a depth have no part.
    """
    right: dict[str, dict[tuple[float, float], list[bool]]] = defaultdict(dict)
    for one in predictions:
        if "depth" in one.groups and one.correct is not None:
            cell = (float(one.groups["depth"]), float(one.groups["minutes"]))
            right[one.condition].setdefault(cell, []).append(one.correct)
    return {
        condition: {cell: sum(marks) / len(marks) for cell, marks in cells.items()}
        for condition, cells in right.items()
    }


def draw_depths(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write the maps of all conditions side by side as a PNG.

    Args:
        path: The file.
        predictions: As `depth_cells` takes them, at least one with a depth.
    """
    maps = depth_cells(predictions)
    cells = [cell for shares in maps.values() for cell in shares]
    depths, lengths = (sorted({cell[axis] for cell in cells}) for axis in (0, 1))
    panel = max(len(lengths) * _CELL_WIDTH, _LEAST_WIDTH) + _GAP
    width = _LEFT + len(maps) * panel
    height = _TOP + len(depths) * _CELL_HEIGHT + _GAP
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(14)
    for row, depth in enumerate(depths):
        middle = _TOP + (row + 0.5) * _CELL_HEIGHT
        draw.text((_LEFT - 8, middle), f"{depth:g} %", _INK, font, anchor="rm")
    draw.text((_LEFT - 8, _TOP - 14), "depth", _INK, font, anchor="rm")
    for place, (condition, shares) in enumerate(maps.items()):
        left = _LEFT + place * panel
        draw.text((left, 18), f"{condition}: right in %", _INK, font, anchor="lm")
        for column, minutes in enumerate(lengths):
            x = left + column * _CELL_WIDTH
            centre = x + _CELL_WIDTH / 2
            draw.text((centre, _TOP - 14), f"{minutes:g} min", _INK, font, anchor="mm")
            for row, depth in enumerate(depths):
                share = shares.get((depth, minutes))
                if share is None:
                    continue
                y = _TOP + row * _CELL_HEIGHT
                box = (x + 1, y + 1, x + _CELL_WIDTH - 1, y + _CELL_HEIGHT - 1)
                draw.rectangle(box, fill=_shade(share))
                at = (centre, y + _CELL_HEIGHT / 2)
                draw.text(at, f"{100 * share:.0f}", _INK, font, anchor="mm")
    picture.save(path)


def _shade(share: float) -> tuple[int, int, int]:
    """Return red for 0, yellow for a half, green for 1, pale enough for dark letters."""
    low, high = (_WRONG, _MIDDLE) if share < 0.5 else (_MIDDLE, _RIGHT)
    part = 2 * share if share < 0.5 else 2 * share - 1
    mixed = [one + (other - one) * part for one, other in zip(low, high, strict=True)]
    red, green, blue = (round(255 - (255 - level) * 0.75) for level in mixed)
    return red, green, blue
