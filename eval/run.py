"""The command `videollm eval`: ask a model benchmarks, with its baselines beside it."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from videollm.errors import RequestError, VideoLLMError
from videollm.eval.arguments import Parser, build_parser, options_of, settings_of
from videollm.eval.check import check_tasks
from videollm.eval.compare import Comparison, compare_runs
from videollm.eval.evaluation import evaluate, rescore_folder
from videollm.eval.report import build_table, describe_comparison, summarise
from videollm.eval.settings import EvalSettings

__all__ = ["AnswerBar", "main"]


class AnswerBar:
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

    def __enter__(self) -> "AnswerBar":
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
        """Show the bar."""
        self._bar.update(self._task, total=total)
        self._bar.start()

    def advance(self, count: int) -> None:
        """Move the bar on."""
        self._bar.advance(self._task, count)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Words after `videollm eval`; None takes those of the process.

    Returns:
        0 when results were written, 1 when `--check` found something missing, 2 for anything the
        user can mend, 130 when interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["compare"]:
            return _compare(words[1:])
        arguments = build_parser().parse_args(words)
        if arguments.check:
            return _check(settings_of(arguments))
        folder, results = _rescore(arguments) if arguments.rescore else _evaluate(arguments)
    except VideoLLMError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    if results is None:
        print(f"this shard is done; the last one to end writes {folder / 'results.json'}")
        return 0
    _print_results(folder, results)
    return 0


def _evaluate(arguments: argparse.Namespace) -> tuple[Path, dict[str, Any] | None]:
    settings, options = settings_of(arguments), options_of(arguments)
    if options.shard.count > 1 and arguments.output is None:
        raise RequestError("--shard needs --output, the folder that all shards share")
    with AnswerBar() as bar:
        return evaluate(settings, arguments.output, progress=bar, options=options)


def _rescore(arguments: argparse.Namespace) -> tuple[Path, dict[str, Any] | None]:
    if arguments.output is not None or settings_of(arguments) != EvalSettings():
        raise RequestError(
            "--rescore takes no other option but --judge: it scores what is recorded; leave the "
            "others out"
        )
    return arguments.rescore, rescore_folder(arguments.rescore, options_of(arguments))


def _check(settings: EvalSettings) -> int:
    lines, complete = check_tasks(settings)
    for line in lines:
        print(line)
    print("all there" if complete else "something is missing")
    return 0 if complete else 1


def _compare(words: Sequence[str]) -> int:
    parser = Parser(
        prog="videollm eval compare",
        description="Say what flipped between two runs, and whether that is more than chance.",
        epilog="example: videollm eval compare runs/one runs/other",
    )
    parser.add_argument("first", type=Path, help="output folder of one run")
    parser.add_argument("second", type=Path, help="output folder of the other")
    parser.add_argument("--condition", default="model", help="whose answers (default: model)")
    parser.add_argument("--show", type=int, default=10, metavar="N", help="flipped items to print")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    arguments = parser.parse_args(words)
    compared = compare_runs(arguments.first, arguments.second, condition=arguments.condition)
    if arguments.json:
        print(json.dumps([_as_json(one) for one in compared], ensure_ascii=False))
        return 0
    for comparison in compared:
        for line in describe_comparison(comparison, show=arguments.show):
            print(line)
    return 0


def _as_json(comparison: Comparison) -> dict[str, Any]:
    names = ("task", "num_items", "accuracies", "difference", "interval", "p_value", "num_both")
    flips = {
        name: [
            {"id": one.id, "answer": one.answer, "first": one.output, "second": other.output}
            for one, other in getattr(comparison, name)
        ]
        for name in ("gained", "lost")
    }
    values = {name: getattr(comparison, name) for name in names}
    return {**values, **flips, "warnings": list(comparison.warnings)}


def _print_results(folder: Path, results: dict[str, Any]) -> None:
    console = Console()
    for task, scores in results["tasks"].items():
        name = f"{task} {scores['split']}"
        console.print(build_table(name, scores))
        print(summarise(name, scores))
        if scores["num_rejudged"]:
            print(f"{scores['num_rejudged']} answers are judged otherwise than when recorded")
    print(f"written to {folder / 'results.json'}")


if __name__ == "__main__":
    raise SystemExit(main())
