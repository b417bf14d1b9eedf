"""Check the data of a recipe before a run: `videollm data check RECIPE [--output DIR]`.

Every record is read and checked and every medium looked for; those of some samples are read, or
with `--decode` all. It writes `check.json`, `lengths.png`, `samples.html`, `bad_samples.jsonl` and
`missing_media.txt`. Nothing is trained and no weights are loaded.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from videollm.errors import RecipeError, RequestError, VideoLLMError
from videollm.runtime import configure_logging
from videollm.train import align, dpo, instruct
from videollm.train.arguments import ModelArguments
from videollm.train.building import build_processor
from videollm.train.data_findings import check_data
from videollm.train.data_report import print_report, write_report
from videollm.train.dialogue_arguments import DialogueArguments
from videollm.train.dialogue_sets import check_kind
from videollm.train.recipe import parse_recipe, stage_of
from videollm.train.stage_arguments import StageArguments

__all__ = ["main"]

_GROUPS: dict[str, tuple[type[Any], ...]] = {
    "align": align.GROUPS,
    "instruct": instruct.GROUPS,
    "dpo": dpo.GROUPS,
}


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RequestError(f"data: {message}; 'videollm data --help' shows what there is")


def _parser() -> ArgumentParser:
    parser = _Parser(
        prog="videollm data check",
        usage="videollm data check RECIPE [--output DIR] [--probe N] [--decode] [--key value ...]",
        description="Check the data of a recipe of align, instruct or dpo. Exit code 1: more bad "
        "samples than its max_bad allows.",
        epilog="example: videollm data check mine.yaml --output runs/check",
        allow_abbrev=False,
    )
    parser.add_argument("action", choices=["check"], help="what to do")
    parser.add_argument("--output", type=Path, help="folder of the report (OUTPUT_DIR/data_check)")
    parser.add_argument(
        "--probe", type=int, default=50, help="samples whose media are read, drawn at random (50)"
    )
    parser.add_argument("--decode", action="store_true", help="read the media of all samples")
    return parser


def _run(words: Sequence[str]) -> int:
    options, rest = _parser().parse_known_args(words)
    if options.probe < 0:
        raise RequestError(f"data: --probe is {options.probe}; 0 or more allowed")
    if not rest or rest[0].startswith("-"):
        raise RecipeError("no recipe given: videollm data check RECIPE [--output DIR]")
    stage = stage_of(rest[0]) or "instruct"
    if stage not in _GROUPS:
        known = ", ".join(_GROUPS)
        raise RecipeError(f"{rest[0]}: a recipe for {stage}; data check is for {known}")
    filled, _ = parse_recipe(rest, stage=stage, groups=(*_GROUPS[stage], StageArguments))
    data = next(item for item in filled if isinstance(item, DialogueArguments))
    model = next(item for item in filled if isinstance(item, ModelArguments))
    args: StageArguments = filled[-1]
    check_kind(data, stage)
    assert args.data_seed is not None
    output = options.output or args.folder / "data_check"
    report = check_data(
        data,
        build_processor(model, data),
        output=output,
        seed=args.data_seed,
        num_probed=options.probe,
        decode=options.decode,
    )
    write_report(report, output)
    print_report(report, output)
    return 1 if report.is_too_bad else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return 0, 1 where too many samples are bad, or 2 after a user's error."""
    configure_logging()
    words = sys.argv[1:] if argv is None else list(argv)
    if any(word in ("-h", "--help") for word in words):
        _parser().print_help()
        return 0
    try:
        return _run(words)
    except VideoLLMError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
