"""A contact sheet: the frames of a clip side by side, each with its time.

Legend: H height, W width.
"""

import math

from PIL import Image, ImageDraw, ImageFont

from videollm.clip import Clip

__all__ = ["contact_sheet", "time_label"]

GAP_PIXELS = 4
SHEET_ASPECT = 16 / 9
"""Width over height that the sheet comes near to."""


def contact_sheet(clip: Clip) -> Image.Image:
    """Return the frames of a clip in rows, in order of time, RGB.

    Args:
        clip: The frames, at the size that they are to have.
    """
    across, down = clip.width + GAP_PIXELS, clip.height + GAP_PIXELS
    columns = round(math.sqrt(len(clip) * SHEET_ASPECT * down / across))
    rows = math.ceil(len(clip) / min(max(columns, 1), len(clip)))
    columns = math.ceil(len(clip) / rows)
    sheet = Image.new("RGB", (columns * across + GAP_PIXELS, rows * down + GAP_PIXELS), "white")
    pictures = clip.frames.permute(0, 2, 3, 1).contiguous().numpy()
    for place, (pixels, seconds) in enumerate(
        zip(pictures, clip.pts_seconds.tolist(), strict=True)
    ):
        row, column = divmod(place, columns)
        picture = Image.fromarray(pixels)
        _burn_in(picture, time_label(seconds))
        sheet.paste(picture, (GAP_PIXELS + column * across, GAP_PIXELS + row * down))
    return sheet


def time_label(seconds: float) -> str:
    """Return a time as minutes, seconds and thousandths, with hours where there are some."""
    thousandths = round(seconds * 1000)
    minutes, thousandths = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    rest = f"{thousandths // 1000:02d}.{thousandths % 1000:03d}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def _burn_in(picture: Image.Image, label: str) -> None:
    """Write a label into the lower left corner, in white on black."""
    font = ImageFont.load_default(size=max(picture.width / 14, 10))
    drawing = ImageDraw.Draw(picture)
    left, top, right, bottom = drawing.textbbox((0, 0), label, font=font)
    edge = max(round((bottom - top) / 4), 1)
    height = picture.height
    box = (0, height - (bottom - top) - 2 * edge, right - left + 2 * edge, height)
    drawing.rectangle(box, fill="black")
    drawing.text((edge - left, box[1] + edge - top), label, font=font, fill="white")
