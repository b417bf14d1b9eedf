"""What the page says of the model: its parts, where it runs, its scores."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from videollm.errors import VideoLLMError
from videollm.serve.engine import Engine

__all__ = ["describe", "score_table", "waiting"]


def waiting() -> str:
    """Return what is shown before anything is known."""
    return '<p class="label">The model is loading.</p>'


def describe(engine: Engine) -> str:
    """Return the facts and the scores of the model.

    Args:
        engine: Has it.
    """
    try:
        model = engine.model
    except VideoLLMError as error:
        remedy = "" if engine.status == "loading" else " Start the server with another --model."
        return f'<p class="label">{escape(str(error))}{escape(remedy)}</p>'
    from videollm.encoder.kernels import resolve_backend
    from videollm.loading import resolve_model
    from videollm.video_backends import choose_backend

    try:
        source = resolve_model(engine.model_name)
    except VideoLLMError:
        source = None
    config, processor = model.config, model.processor
    vision, text = config.vision, config.text
    parameters = sum(one.numel() for one in model.model.parameters())
    rows = [
        ("Model", engine.model_name),
        ("Language model", str(config.text_model or text.model_type)),
        ("Adapter", engine.adapter or ("its own" if source and source.adapter else "none")),
        ("Parameters", f"{parameters / 1e6:.1f} million"),
        ("Encoder", f"{vision.num_layers} layers {vision.layer_pattern}, {vision.scan_mode}"),
        ("Frames", f"{processor.num_frames} of {vision.image_size} x {vision.image_size} pixels"),
        ("Tokens", f"{config.tokens_per_frame} for {vision.tubelet_size} frames"),
        ("Projector", config.projector_type),
        ("Context", f"{getattr(text, 'max_position_embeddings', 'unlimited')} tokens"),
        ("Device", f"{model.device}, {model.model.language_model.dtype}"),
        ("Scan", resolve_backend("auto", model.device)),
        ("Decoder", choose_backend(None)),
    ]
    facts = "".join(f"<tr><th>{escape(a)}</th><td>{escape(str(b))}</td></tr>" for a, b in rows)
    table = f'<table class="facts"><tbody>{facts}</tbody></table>'
    return table if source is None else table + _scores(source.base / "README.md")


def _scores(card: Path) -> str:
    if not card.is_file():
        return '<p class="label">The model has no card, so no scores are known.</p>'
    found = score_table(card.read_text(encoding="utf-8"))
    return found or '<p class="label">The model\'s card has no scores.</p>'


def score_table(card: str) -> str:
    """Return the tables under the heading Scores of a model card; empty where there is none.

    Args:
        card: Its Markdown.
    """
    section = re.search(r"^#+ Scores$(.*?)(?=^#|\Z)", card, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"(?:^\|.+\|$\n?)+", section[1], re.MULTILINE) if section else []
    tables = "".join(_table(block.strip().splitlines()) for block in blocks)
    return f'<p class="label">Scores, from the model\'s card</p>{tables}' if tables else ""


def _table(lines: Sequence[str]) -> str:
    if len(lines) < 3:
        return ""
    cells = [[cell.strip(" *`") for cell in line.strip("|").split("|")] for line in lines]
    head, _, *rows = cells
    body = "".join(_row(row, "td") for row in rows)
    return f'<table class="scores"><thead>{_row(head, "th")}</thead><tbody>{body}</tbody></table>'


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
