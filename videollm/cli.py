"""The command line: what the core does, and the doors to the rest.

Every heavy import happens inside a command, so that help comes at once. Answers go to stdout,
everything else to stderr. Errors that the user can mend end as one line and exit code 2; a
traceback therefore always means a defect.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from videollm import __version__
from videollm.cli_convert import convert_app
from videollm.cli_export import add_export_commands
from videollm.cli_forward import PROGRAMS, Program, run_program
from videollm.cli_frames import (
    EndOption,
    FpsOption,
    NumFramesOption,
    SamplingOption,
    StartOption,
    TokensOption,
    frame_options,
)
from videollm.cli_inspect import EPILOG, inspect
from videollm.cli_plan import EPILOG as PLAN_EPILOG
from videollm.cli_plan import plan
from videollm.cli_share import add_share_commands
from videollm.cli_stream import EPILOG as STREAM_EPILOG
from videollm.cli_stream import WatchBar, stream
from videollm.cli_toyworld import toyworld_app
from videollm.errors import RequestError, VideoLLMError
from videollm.runtime import configure_logging

if TYPE_CHECKING:
    from videollm.api import VideoLLM

__all__ = ["app", "main"]

# Typer exports only this leaf of its usage errors, and their home differs between its versions.
_UsageError = cast("type[Exception]", typer.BadParameter.__bases__[0])

# Plain help: typer's rich mode would read "[serve]" as markup. In the epilogs, "\b" keeps an
# example on its own line, to be copied.
app = typer.Typer(
    name="videollm",
    help="Ask, train, evaluate and serve an open VideoLLM.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(toyworld_app, name="toyworld")
app.add_typer(convert_app, name="convert")
app.command(epilog=EPILOG)(inspect)
app.command(epilog=STREAM_EPILOG)(stream)
app.command(epilog=PLAN_EPILOG)(plan)

ModelOption = Annotated[str, typer.Option("--model", help="Name or folder of a model.")]
AdapterOption = Annotated[
    str | None, typer.Option("--adapter", help="Folder of a LoRA adapter to put on the model.")
]
QuantizationOption = Annotated[
    str | None,
    typer.Option("--quantization", help="nf4 (4 bits) or int8, of the LLM  [default: none]."),
]
MaxNewTokensOption = Annotated[
    int, typer.Option("--max-new-tokens", min=1, help="Longest answer, in tokens.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
DtypeOption = Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.")]


@app.callback(
    invoke_without_command=True,
    epilog="\b\nExample: videollm ask clip.mp4 'What colour is the circle?'",
)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more on stderr.")] = False,
) -> None:
    configure_logging(verbose)
    if version:
        print(f"videollm {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command(epilog="\b\nExample: videollm ask clip.mp4 'What colour is the circle?' --json")
def ask(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A video file.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, quoted.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print all about it as JSON.")] = False,
    model: ModelOption = "demo",
    adapter: AdapterOption = None,
    quantization: QuantizationOption = None,
    num_frames: NumFramesOption = None,
    fps: FpsOption = None,
    sampling: SamplingOption = None,
    start: StartOption = None,
    end: EndOption = None,
    tokens_per_frame: TokensOption = None,
    max_new_tokens: MaxNewTokensOption = 64,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
) -> None:
    """Ask one question about a video."""
    if not question.strip():
        raise RequestError("the question is empty: write it in quotes after the video")
    frames = frame_options(num_frames, fps, sampling, start, end, tokens_per_frame)
    # Libraries that print would spoil the one thing that belongs on stdout.
    with contextlib.redirect_stdout(sys.stderr):
        _require_readable(video)
        loaded = _load(model, adapter, quantization, device=device, dtype=dtype)
        bar = WatchBar()
        with contextlib.closing(bar):
            answer = loaded.ask(
                video, question, max_new_tokens=max_new_tokens, progress=bar.update, **frames
            )
    if not as_json:
        for warning in answer.warnings:
            print(f"{video}: {warning}", file=sys.stderr)
    print(json.dumps(answer.to_dict(), ensure_ascii=False) if as_json else answer.answer)


@app.command(epilog="\b\nExample: videollm chat clip.mp4")
def chat(
    video: Annotated[str | None, typer.Argument(metavar="[VIDEO]", help="A video file.")] = None,
    model: ModelOption = "demo",
    adapter: AdapterOption = None,
    quantization: QuantizationOption = None,
    num_frames: NumFramesOption = None,
    fps: FpsOption = None,
    sampling: SamplingOption = None,
    start: StartOption = None,
    end: EndOption = None,
    tokens_per_frame: TokensOption = None,
    max_new_tokens: MaxNewTokensOption = 256,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
) -> None:
    """Talk about a video in the terminal; /video PATH, /reset, /quit."""
    from videollm.cli_chat import TerminalChat, read_lines

    frames = frame_options(num_frames, fps, sampling, start, end, tokens_per_frame)
    with contextlib.redirect_stdout(sys.stderr):
        if video is not None:
            _require_readable(video)
        loaded = _load(model, adapter, quantization, device=device, dtype=dtype)
    conversation = TerminalChat(
        loaded,
        video=video,
        options={"max_new_tokens": max_new_tokens, **frames},
        check_video=_require_readable,
    )
    conversation.run(read_lines())


@app.command(epilog="\b\nExample: videollm doctor --json")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Try out what works on this machine, and say how to get the rest."""
    from videollm.doctor import collect_report, print_report

    with contextlib.redirect_stdout(sys.stderr):
        report = collect_report()
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        print_report(report)
    if not report["works"]:
        raise typer.Exit(1)


def _add_program(program: Program) -> None:
    """Make a command that hands its words, --help included, to a program outside the core."""

    def command(context: typer.Context) -> None:
        raise typer.Exit(run_program(program, context.args))

    app.command(
        program.name,
        help=program.summary,
        epilog=f"\b\n{program.example}",
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(command)


for _program in PROGRAMS:
    _add_program(_program)
add_share_commands(app)
add_export_commands(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: Words after the program's name; None takes those of the process.

    Returns:
        0 when done, 1 when `doctor` found the core broken, 2 for what the user can mend,
        130 when interrupted.
    """
    run: Callable[..., Any] = app
    try:
        words = None if argv is None else list(argv)
        code = run(words, prog_name="videollm", standalone_mode=False)
    except VideoLLMError as error:
        return _complain(str(error))
    except _UsageError as error:
        return _complain(_usage_message(error))
    except (KeyboardInterrupt, typer.Abort):
        print(file=sys.stderr)
        return 130
    return int(code or 0)


def _complain(message: str) -> int:
    """Print one line, whatever the message holds, and return the exit code."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _usage_message(error: Exception) -> str:
    """Say what was wrong with the words given, and where to read about them."""
    usage = cast("Any", error)
    command = usage.ctx.command_path if usage.ctx is not None else "videollm"
    return f"{usage.format_message().rstrip('.')}; '{command} --help' shows what there is"


def _load(
    model: str, adapter: str | None, quantization: str | None, *, device: str, dtype: str
) -> "VideoLLM":
    from videollm.api import VideoLLM

    return VideoLLM.from_pretrained(
        model, adapter=adapter, quantization=quantization, device=device, dtype=dtype
    )


def _require_readable(video: str) -> None:
    """Complain about a file before seconds are spent on loading a model."""
    from videollm.video import VideoReader

    if "://" not in video:
        with VideoReader.open(video):
            pass
