"""The model card (README.md) of a model folder: what it is, how to load it, how it was made.

The sections about training come from the stage that trained it; scores from folders that
`videollm eval` wrote. Nothing is claimed that one of the two did not record.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videollm.errors import DataError, ModelError
from videollm.model_folder import read_json
from videollm.packaged_llm import PACKAGED_NAME, SMOLLM2_WHEEL

if TYPE_CHECKING:
    from videollm.model import VideoLLMForConditionalGeneration

__all__ = ["CARD_FILE", "add_scores", "describe_model", "merged_card", "table", "write_card"]

CARD_FILE = "README.md"
_SCORES = "## Scores"
_PACKAGED_LICENSE = "apache-2.0"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table.

    Args:
        head: Titles of the columns.
        rows: Cells; a line break or a bar in one would end it, and is replaced.
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', '/').replace(chr(10), ' ') for cell in line)} |"
        for line in lines
    )


def describe_model(model: "VideoLLMForConditionalGeneration", *, adapter: str | None) -> str:
    """Return the card's account of a model's parts.

    Args:
        model: The model.
        adapter: Of the adapter beside it, in words; None where there is none.
    """
    config = model.config
    vision = config.vision
    encoder = sum(item.numel() for item in model.vision_model.parameters())
    kept = f"`{config.text_model}`, by name" if config.text_model else "in this folder, whole"
    parts = [
        ("encoder", f"VideoMAP, {vision.scan_mode}, {encoder:,} parameters"),
        ("layers", f"{vision.num_layers} of {vision.layer_pattern}, width {vision.hidden_size}"),
        ("frames", f"{vision.num_frames} by default, {vision.image_size} pixels, in groups of "
                   f"{vision.tubelet_size}"),
        ("projector", f"{config.projector_type}, {config.tokens_per_frame} tokens for each group"),
        ("language model", f"{config.text.model_type}, width {config.text.hidden_size}, {kept}"),
    ]  # fmt: skip
    if adapter is not None:
        parts.append(("adapter", adapter))
    return f"## Parts\n\n{table(('part', 'what it is'), parts)}"


def write_card(
    folder: Path,
    *,
    title: str,
    sections: Sequence[str],
    text_model: str | None,
    license_name: str | None = None,
) -> None:
    """Write a folder's model card; scores of an earlier one are not kept.

    Args:
        folder: A model folder.
        title: Its name, which becomes the heading.
        sections: Markdown, each with its own heading.
        text_model: Name of the language model; where it is a hub name it becomes `base_model`.
        license_name: Licence of the weights, as the hub spells it; None: unknown, unless the
            language model is the packaged one.
    """
    from huggingface_hub import ModelCardData

    packaged = text_model == PACKAGED_NAME
    license_name = license_name or (_PACKAGED_LICENSE if packaged else None)
    hub_name = text_model and not Path(text_model).expanduser().exists() and "/" in text_model
    data = ModelCardData(
        library_name="videollm",
        pipeline_tag="video-text-to-text",
        license=license_name,
        base_model=text_model if hub_name else None,
        tags=["video", "videomap"],
    )
    terms = (
        f"{license_name}."
        if license_name
        else "Not stated. The terms of the language model and of the data apply."
    )
    if packaged:
        terms += f" The language model is {SMOLLM2_WHEEL.title} (Apache License 2.0)."
    text = "\n\n".join(
        [
            f"---\n{data.to_yaml()}\n---",
            f"# {title}",
            _USE.format(name=title),
            *sections,
            f"## Licence\n\n{terms}",
        ]
    )
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


_USE = """A VideoLLM: it answers questions about videos.

```python
from videollm import VideoLLM

model = VideoLLM.from_pretrained("{name}")  # this folder, or its name on the hub
print(model.chat("clip.mp4", "What happens?"))
```

On the command line: `videollm ask clip.mp4 "What happens?" --model {name}`; in 4 bits with
`--quantization nf4`."""


def add_scores(folder: Path, evaluations: Sequence[Path]) -> None:
    """Put the scores of evaluations into a folder's card, in the place of earlier ones.

    Args:
        folder: A folder with a card.
        evaluations: Folders that `videollm eval` wrote.

    Raises:
        ModelError: There is no card.
        DataError: An evaluation has no results.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        raise ModelError(f"{folder}: no {CARD_FILE}: instruct and 'videollm merge' write one")
    rows = [row for evaluation in evaluations for row in _score_rows(evaluation)]
    head = ("task", "split", "items", "right", "95 % interval", "baselines")
    section = (
        f"{_SCORES}\n\nBy `videollm eval`, greedy, in % of the items; an answer that cannot be "
        f"parsed is wrong.\n\n{table(head, rows)}\n"
    )
    text = path.read_text(encoding="utf-8")
    text = re.sub(rf"{_SCORES}\n.*?(?=^## |\Z)", "", text, flags=re.DOTALL | re.MULTILINE)
    before, licence, after = text.partition("## Licence")
    path.write_text(f"{before.rstrip()}\n\n{section}\n{licence}{after}", encoding="utf-8")


def _score_rows(evaluation: Path) -> list[tuple[object, ...]]:
    path = evaluation / "results.json"
    if not path.is_file():
        raise DataError(f"{evaluation}: no {path.name}: finish the evaluation first")
    results: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows: list[tuple[object, ...]] = []
    for name, scores in results["tasks"].items():
        conditions = {key: value["overall"] for key, value in scores["conditions"].items()}
        model = conditions.pop("model")
        low, high = model["interval"]
        baselines = ", ".join(
            f"{key} {100 * value['accuracy']:.1f}" for key, value in conditions.items()
        )
        rows.append(
            (
                name,
                scores["split"],
                scores["num_items"],
                f"{100 * model['accuracy']:.1f}",
                f"{100 * low:.1f} to {100 * high:.1f}",
                baselines or "none",
            )
        )
    return rows


def merged_card(
    source: Path, target: Path, *, name: str, model: "VideoLLMForConditionalGeneration"
) -> None:
    """Write the card of a merged model: its parts, and its source's sections on the making.

    Args:
        source: Folder of the base, whose card is taken over where there is one.
        target: Folder of the merged model, as yet under another name.
        name: The name that it will have.
        model: The merged model.
    """
    made = "## Made by\n\n`videollm merge`: the adapter is added into the weights."
    kept: list[str] = []
    license_name = None
    if (source / CARD_FILE).is_file():
        text = (source / CARD_FILE).read_text(encoding="utf-8")
        kept = re.findall(r"^## (?:Training|Data|Settings)\n.*?(?=^## |\Z)", text, re.S | re.M)
        found = re.search(r"^license: (\S+)$", text.partition("\n---")[0], re.MULTILINE)
        license_name = found[1] if found else None
    write_card(
        target,
        title=name,
        sections=[describe_model(model, adapter=None), made, *(part.strip() for part in kept)],
        text_model=read_json(source / "config.json").get("text_model"),
        license_name=license_name,
    )
