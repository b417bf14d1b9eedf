"""`videollm export` and `embed`: the language model, and prompts, for an engine elsewhere."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["add_export_commands"]


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or folder of a model.")],
    output: Annotated[Path, typer.Option("--output", help="New or empty folder.")],
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="Folder of an adapter  [default: its own].")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="Of the weights  [default: as its config says].")
    ] = None,
) -> None:
    """Write the language model, its adapter merged, for an engine such as vLLM."""
    with contextlib.redirect_stdout(sys.stderr):
        from videollm.export_llm import export_language_model
        from videollm.runtime import pick_dtype

        chosen = None if dtype is None else pick_dtype(dtype)
        export_language_model(model, output, adapter=adapter, dtype=chosen)
    print(output)


def embed(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A video file.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, quoted.")],
    output: Annotated[Path, typer.Option("--output", help="A safetensors file.")],
    model: Annotated[str, typer.Option("--model", help="Name or folder of a model.")] = "demo",
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="Folder of an adapter  [default: its own].")
    ] = None,
    num_frames: Annotated[
        int | None, typer.Option("--num-frames", min=1, help="Frames  [default: the model's].")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Write the prompt of a question as the embeddings that the exported model reads."""
    with contextlib.redirect_stdout(sys.stderr):
        from videollm.api import VideoLLM
        from videollm.export_llm import prompt_embeddings, save_embeddings

        loaded = VideoLLM.from_pretrained(model, adapter=adapter, device=device)
        embeddings = prompt_embeddings(loaded, video, question, num_frames=num_frames)
        save_embeddings(embeddings, output)
    print(f"{output}: {embeddings.shape[0]} tokens of width {embeddings.shape[1]}")


def add_export_commands(app: typer.Typer) -> None:
    """Add the commands.

    Args:
        app: The command line.
    """
    app.command(epilog="\b\nExample: videollm export demo --output llm")(export)
    app.command(
        epilog="\b\nExample: videollm embed clip.mp4 'What happens?' --output prompt.safetensors"
    )(embed)
