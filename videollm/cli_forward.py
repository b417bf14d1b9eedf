"""Programs outside the core that the command line hands its words to.

Each lives in `train`, `eval` or `serve`, parses its own arguments and needs its own extra, so
it is imported only when asked for.
"""

import contextlib
import importlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from videollm.errors import RequestError

__all__ = ["PROGRAMS", "Program", "run_program"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A command that lives in another package.

    Attributes:
        name: The command's name.
        module: Module whose `main(argv) -> int` runs it.
        extra: The optional dependencies it needs.
        summary: One line for the list of commands.
        example: One line for the help.
    """

    name: str
    module: str
    extra: str
    summary: str
    example: str


PROGRAMS = (
    Program(
        name="serve",
        module="videollm.serve.app",
        extra="serve",
        summary="Open the chat page in the browser.",
        example="Example: videollm serve --model demo",
    ),
    Program(
        name="eval",
        module="videollm.eval.run",
        extra="eval",
        summary="Measure a model on benchmarks, baselines beside it.",
        example="Example: videollm eval --tasks toyworld --split test_iid --output runs/iid",
    ),
    Program(
        name="batch",
        module="videollm.eval.batch_answers",
        extra="eval",
        summary="Ask the same question about many videos.",
        example="Example: videollm batch videos.txt --question 'What happens?' --output a.jsonl",
    ),
    Program(
        name="data",
        module="videollm.train.data_check",
        extra="train",
        summary="Check the data of a recipe before a run.",
        example="Example: videollm data check RECIPE --output runs/check",
    ),
    Program(
        name="pretrain",
        module="videollm.train.pretrain",
        extra="train",
        summary="Train the video encoder without labels.",
        example="Example: videollm pretrain RECIPE --max_steps 100 --output_dir runs/encoder",
    ),
    Program(
        name="features",
        module="videollm.train.features",
        extra="train",
        summary="Ask a teacher once about every clip, for pretraining.",
        example="Example: videollm features RECIPE --teacher_model NAME --output_dir runs/cache",
    ),
    Program(
        name="classify",
        module="videollm.train.classify",
        extra="train",
        summary="Teach the encoder to tell classes of video apart.",
        example="Example: videollm classify RECIPE --encoder FOLDER --output_dir runs/classes",
    ),
    Program(
        name="align",
        module="videollm.train.align",
        extra="train",
        summary="Train the projector between encoder and language model.",
        example="Example: videollm align RECIPE --max_steps 100 --output_dir runs/aligned",
    ),
    Program(
        name="instruct",
        module="videollm.train.instruct",
        extra="train",
        summary="Teach the whole model to answer, with LoRA.",
        example="Example: videollm instruct RECIPE --learning_rate 2.0e-4 --output_dir runs/lora",
    ),
    Program(
        name="dpo",
        module="videollm.train.dpo",
        extra="dpo",
        summary="Teach a model which of two answers is wanted.",
        example="Example: videollm dpo RECIPE --model runs/mine --output_dir runs/preferred",
    ),
)


def run_program(program: Program, argv: Sequence[str]) -> int:
    """Run a program with the words after its name.

    Args:
        program: Which one.
        argv: Its words; "--help" prints the program's own help, ours where its extra is missing.

    Returns:
        Its exit code.

    Raises:
        RequestError: Its extra is not installed.
    """
    wants_help = "--help" in argv or "-h" in argv
    try:
        module = importlib.import_module(program.module)
        if wants_help:
            return _show_help(program, module)
        return int(module.main(list(argv)) or 0)
    except ImportError as error:
        # A missing module of ours is a defect, not a missing extra.
        if (error.name or "").partition(".")[0] == "videollm":
            raise
        message = _missing_extra(program, error)
        if not wants_help:
            raise RequestError(message) from error
        print(f"{program.summary}\n\n{program.example}\n\n{message}")
        return 0


def _show_help(program: Program, module: ModuleType) -> int:
    """Print the program's help, with an example in any case."""
    text = io.StringIO()
    # argparse ends the process after printing.
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        module.main(["--help"])
    sys.stdout.write(text.getvalue())
    if "videollm " + program.name not in text.getvalue().partition("xample")[2]:
        print(f"\n{program.example}")
    return 0


def _missing_extra(program: Program, error: ImportError) -> str:
    missing = error.name or " ".join(str(error).split())
    extra = program.extra
    return (
        f"videollm {program.name} needs the extra '{extra}' ({missing} is missing): "
        f"run pip install 'videollm[{extra}]', or pip install -e '.[{extra}]' in a checkout"
    )
