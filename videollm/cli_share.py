"""`videollm merge`, `card` and `push`: what becomes of a model once it is trained."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["add_share_commands"]


def merge(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or folder of a model.")],
    output: Annotated[Path, typer.Option("--output", help="New or empty folder.")],
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="Folder of an adapter  [default: its own].")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="Of the language model  [default: as its config says]."),
    ] = None,
) -> None:
    """Add an adapter into the weights: one folder that holds them all."""
    with contextlib.redirect_stdout(sys.stderr):
        from videollm.card import merged_card
        from videollm.loading import merge_model, resolve_model
        from videollm.output_folder import replacing, require_free
        from videollm.runtime import pick_dtype, quiet_transformers

        require_free(output)
        chosen = None if dtype is None else pick_dtype(dtype)
        merged, processor = merge_model(model, adapter=adapter, dtype=chosen)
        with replacing(output) as draft, quiet_transformers():
            merged.save_pretrained(draft)
            processor.save_pretrained(draft)
            merged_card(resolve_model(model, adapter).base, draft, name=output.name, model=merged)
    print(output)


def card(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model folder.")],
    scores: Annotated[
        list[Path], typer.Option("--scores", help="Folder that eval wrote; may be repeated.")
    ],
) -> None:
    """Put the scores of evaluations into a model's card (README.md)."""
    from videollm.card import CARD_FILE, add_scores

    add_scores(folder, scores)
    print(folder / CARD_FILE)


def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model or adapter folder.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Its name on the hub.")],
    base: Annotated[
        str | None, typer.Option("--base", help="Hub name of an adapter's base.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new one private.")] = False,
) -> None:
    """Upload a model or adapter folder to the Hugging Face Hub."""
    with contextlib.redirect_stdout(sys.stderr):
        from videollm.hub import push_folder

        address = push_folder(folder, name, base=base, private=private or None)
    print(address)


def add_share_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command, example in (
        (merge, "videollm merge runs/mine --output runs/merged"),
        (card, "videollm card runs/mine --scores runs/eval_iid"),
        (push, "videollm push runs/merged owner/name --private"),
    ):
        app.command(epilog=f"\b\nExample: {example}")(command)
