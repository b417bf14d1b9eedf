"""The words that `videollm eval` takes."""

import argparse
from pathlib import Path
from typing import NoReturn

from videollm.errors import RequestError
from videollm.eval.benchmarks import BENCHMARKS
from videollm.eval.settings import BASELINES, SCORINGS, EvalSettings, RunOptions
from videollm.eval.shards import parse_shard, shard_of_launcher
from videollm.memory_policies import POLICY_NAMES

__all__ = ["Parser", "build_parser", "options_of", "settings_of"]

_EXAMPLES = """\
examples:
  videollm eval --model demo --tasks toyworld --split test_iid --limit 500 --output runs/iid
  videollm eval --tasks mvbench,videomme --check
  videollm eval --tasks my_questions.jsonl --output runs/mine
  videollm eval --rescore runs/iid
  videollm eval compare runs/one runs/other

The same command goes on where an interrupted one stopped.
"""

_NOT_SETTINGS = (
    "check",
    "decode_workers",
    "judge",
    "judge_model",
    "judge_seconds",
    "max_failed",
    "output",
    "rescore",
    "shard",
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are errors of ours: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise RequestError(f"{message}; '{self.prog} --help' shows what there is")


def settings_of(arguments: argparse.Namespace) -> EvalSettings:
    """Return the settings that were given.

    Raises:
        RequestError: A value is out of its range.
    """
    values = vars(arguments).items()
    return EvalSettings(**{name: value for name, value in values if name not in _NOT_SETTINGS})


def options_of(arguments: argparse.Namespace) -> RunOptions:
    """Return the options that were given; without `--shard` a launcher's variables count.

    Raises:
        RequestError: A value is out of its range.
    """
    return RunOptions(
        shard=parse_shard(arguments.shard) if arguments.shard else shard_of_launcher(),
        decode_workers=arguments.decode_workers,
        max_failed=arguments.max_failed,
        judge=arguments.judge,
        judge_model=arguments.judge_model,
        judge_seconds=arguments.judge_seconds,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _lengths(text: str) -> tuple[float, ...]:
    return tuple(float(name) for name in _names(text))


def _baselines(text: str) -> tuple[str, ...]:
    named = {"all": BASELINES, "none": ()}
    return named.get(text.strip(), _names(text))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `videollm eval`."""
    parser = Parser(
        prog="videollm eval",
        description="Ask a model benchmarks and score its answers, with baselines beside it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_what(parser)
    _add_how(parser)
    _add_run(parser)
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    defaults = EvalSettings()
    add = parser.add_argument_group("what is asked").add_argument
    add("--model", default=defaults.model, help="name or folder of the model (default: demo)")
    add("--adapter", help="folder of a LoRA adapter to put onto it")
    add("--quantization", help="nf4 (4 bits) or int8, of the LLM (default: none)")
    add(
        "--tasks",
        type=_names,
        default=defaults.tasks,
        help=f"by commas: your own .jsonl or .yaml, or of {', '.join(BENCHMARKS)} "
        "(default: toyworld)",
    )
    splits = "; ".join(
        f"{spec.name}: {', '.join(spec.splits)}"
        for spec in BENCHMARKS.values()
        if len(spec.splits) > 1
    )
    add("--split", help=f"{splits} (default: the task's own test)")
    add("--limit", type=int, help="questions per task (default: all; toyworld: 500)")
    add("--families", type=_names, default=(), help="keep these question families, by commas")
    add("--questions-per-video", type=int, default=defaults.questions_per_video, metavar="N")
    add("--choice-fraction", type=float, default=defaults.choice_fraction, metavar="SHARE")
    add("--annotations", default=defaults.annotations, metavar="DIR", help="annotation files")
    add("--videos", default=defaults.videos, metavar="DIR", help="videos of benchmarks")
    add(
        "--minutes",
        type=_lengths,
        default=defaults.minutes,
        metavar="M,M",
        help="lengths of needle's videos, by commas (default: 1,10,60)",
    )
    add("--depths", type=int, default=defaults.depths, metavar="N", help="places of a needle")
    add("--mp4", action="store_true", help="take every drawn clip through a real H.264 file")


def _add_how(parser: argparse.ArgumentParser) -> None:
    defaults = EvalSettings()
    add = parser.add_argument_group("how it is asked").add_argument
    add(
        "--baselines",
        type=_baselines,
        default=defaults.baselines,
        help=f"all, none, or some, by commas, of: {', '.join(BASELINES)} (default: all)",
    )
    add("--num-frames", type=int, help="frames per clip (default: the model's own number)")
    add("--fps", type=float, help="frames a second instead, of videos and streams (streams: 2)")
    add("--budget-tokens", type=int, default=defaults.budget_tokens, help="held of a stream")
    add(
        "--policies",
        type=_names,
        default=defaults.policies,
        help=f"what becomes of a stream's past, by commas, of {', '.join(POLICY_NAMES)}: "
        "the model's own, then others to stand beside it (default: merge)",
    )
    add("--sampling", help="uniform, fps, keyframes or scenes, of videos")
    add("--batch-size", type=int, default=defaults.batch_size, help="questions at once")
    add("--max-new-tokens", type=int, help="longest answer (default: the task's own)")
    add(
        "--scoring",
        default=defaults.scoring,
        help=f"{' or '.join(SCORINGS)}: read the answer, or take the likeliest choice",
    )
    add("--seed", type=int, default=defaults.seed, help="seed of clips, questions, intervals")
    add("--device", default=defaults.device, help="auto, cpu, cuda, ... (default: auto)")
    add("--dtype", default=defaults.dtype, help="auto, float32, bfloat16, ... (default: auto)")


def _add_run(parser: argparse.ArgumentParser) -> None:
    options = RunOptions()
    add = parser.add_argument_group("how it runs").add_argument
    add("--output", type=Path, help="folder for the results (default: one under runs/eval)")
    add("--check", action="store_true", help="say what is there and what is missing, and stop")
    add(
        "--rescore",
        type=Path,
        metavar="DIR",
        help="score a finished run again from its predictions; needs no model",
    )
    add("--shard", metavar="I/N", help="do part I of N (torchrun says so by itself)")
    add("--decode-workers", type=int, default=options.decode_workers, metavar="N")
    add(
        "--max-failed",
        type=float,
        default=options.max_failed,
        metavar="SHARE",
        help="share of items that may fail, as for missing videos (default: 0.01)",
    )
    add("--judge", metavar="URL", help="OpenAI-compatible endpoint (.../v1), or self")
    add("--judge-model", metavar="NAME", help="what the endpoint calls its model")
    add("--judge-seconds", type=float, default=options.judge_seconds, metavar="S")
