"""The command `videollm eval`: ask a model a benchmark, with its baselines beside it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from videollm.errors import RequestError, VideoLLMError
from videollm.eval.benchmarks import BENCHMARKS
from videollm.eval.evaluation import evaluate, rescore_folder
from videollm.eval.report import build_table, summarise
from videollm.eval.settings import BASELINES, EvalSettings

__all__ = ["main"]

_EXAMPLES = """\
examples:
  videollm eval --model demo --tasks toyworld --split test_iid --limit 500 --output runs/iid
  videollm eval --tasks toyworld --families motion,order --baselines single_frame --limit 100
  videollm eval --rescore runs/iid

The same command goes on where an interrupted one stopped.
"""

_NOT_SETTINGS = ("output", "rescore")


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are errors of ours: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; 'videollm eval --help' shows what there is")


class _Bar:
    """A progress bar with the time left, on the error stream, from the first question on."""

    def __init__(self) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("answers", total=None)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar.live.is_started:  # stopping a bar that never ran leaves an empty line
            self._bar.stop()

    def begin(self, total: int) -> None:
        self._bar.update(self._task, total=total)
        self._bar.start()

    def advance(self, count: int) -> None:
        self._bar.advance(self._task, count)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Words after `videollm eval`; None takes those of the process.

    Returns:
        0 when results were written, 2 for anything the user can mend, 130 when interrupted.
    """
    try:
        arguments = _build_parser().parse_args(argv)
        folder, results = _rescore(arguments) if arguments.rescore else _evaluate(arguments)
    except VideoLLMError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    _print_results(folder, results)
    return 0


def _evaluate(arguments: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    settings = _settings(arguments)
    with _Bar() as bar:
        return evaluate(settings, arguments.output, progress=bar)


def _rescore(arguments: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    if arguments.output is not None or _settings(arguments) != EvalSettings():
        raise RequestError(
            "--rescore takes no other option: it scores what is recorded; leave the others out"
        )
    return arguments.rescore, rescore_folder(arguments.rescore)


def _print_results(folder: Path, results: dict[str, Any]) -> None:
    console = Console()
    for task, scores in results["tasks"].items():
        name = f"{task} {scores['split']}"
        console.print(build_table(name, scores))
        print(summarise(name, scores))
        if scores["num_rejudged"]:
            print(f"{scores['num_rejudged']} answers are judged otherwise than when recorded")
    print(f"written to {folder / 'results.json'}")


def _settings(arguments: argparse.Namespace) -> EvalSettings:
    values = vars(arguments).items()
    return EvalSettings(**{name: value for name, value in values if name not in _NOT_SETTINGS})


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _baselines(text: str) -> tuple[str, ...]:
    named = {"all": BASELINES, "none": ()}
    return named.get(text.strip(), _names(text))


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="videollm eval",
        description="Ask a model a benchmark and score its answers, with baselines beside it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    defaults = EvalSettings()
    add = parser.add_argument
    add("--model", default=defaults.model, help="name or folder of the model (default: demo)")
    add("--adapter", help="folder of a LoRA adapter to put onto it")
    add("--quantization", help="nf4 (4 bits) or int8, of the LLM (default: none)")
    add(
        "--tasks",
        type=_names,
        default=defaults.tasks,
        help=f"tasks, by commas, of: {', '.join(BENCHMARKS)} (default: toyworld)",
    )
    splits = "; ".join(f"{spec.name}: {', '.join(spec.splits)}" for spec in BENCHMARKS.values())
    add("--split", default=defaults.split, help=f"{splits} (default: test_iid)")
    add("--limit", type=int, default=defaults.limit, help="questions per task (default: 500)")
    add("--output", type=Path, help="folder for the results (default: one under runs/eval)")
    add(
        "--baselines",
        type=_baselines,
        default=defaults.baselines,
        help=f"all, none, or some, by commas, of: {', '.join(BASELINES)} (default: all)",
    )
    add("--families", type=_names, default=(), help="keep these question families, by commas")
    add("--questions-per-video", type=int, default=defaults.questions_per_video, metavar="N")
    add("--num-frames", type=int, help="frames per clip (default: the model's own number)")
    add("--batch-size", type=int, default=defaults.batch_size, help="questions at once")
    add("--max-new-tokens", type=int, default=defaults.max_new_tokens, help="longest answer")
    add("--seed", type=int, default=defaults.seed, help="seed of clips, questions, intervals")
    add("--mp4", action="store_true", help="take every clip through a real H.264 file")
    add("--device", default=defaults.device, help="auto, cpu, cuda, ... (default: auto)")
    add("--dtype", default=defaults.dtype, help="auto, float32, bfloat16, ... (default: auto)")
    add(
        "--rescore",
        type=Path,
        metavar="DIR",
        help="score a finished run again from its predictions; needs no model",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
