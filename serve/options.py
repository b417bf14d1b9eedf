"""The options of `videollm serve`: from a file, the environment and the command line.

The later of them wins. A file is YAML with the options' names; a variable of the environment is
called VIDEOLLM_SERVE_ and the option's name in capitals.
"""

import argparse
import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from videollm.errors import RequestError
from videollm.video_limits import DecodeLimits

__all__ = ["decode_limits", "read_options"]

PREFIX = "VIDEOLLM_SERVE_"

EXAMPLE = """example:
  videollm serve --model demo --port 7860

Opens the chat page on this machine only, with OpenAI's API at /v1. --host 0.0.0.0 lets the network
in: give --api-keys then, and put a proxy with a password before the page (docs/serving.md)."""


def read_options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return all options.

    Args:
        argv: Those of the command line; of the process by default.

    Raises:
        RequestError: The file cannot be read, or has an option that does not exist.
    """
    parser = _parser()
    given = parser.parse_args(argv)
    path = given.config or os.environ.get(f"{PREFIX}CONFIG")
    words = [*_words(parser, _file(path), str(path)), *_words(parser, _environment(parser), PREFIX)]
    if not words:
        return given
    return parser.parse_args([*words, *(sys.argv[1:] if argv is None else argv)])


def decode_limits(options: argparse.Namespace) -> DecodeLimits:
    """Return what an uploaded video may cost."""
    return DecodeLimits(
        open_seconds=options.open_seconds,
        decode_seconds=options.decode_seconds,
        memory_bytes=math.ceil(options.decode_memory_mib * 2**20),
        max_source_bytes=math.ceil(options.max_video_mib * 2**20),
        max_pixels=max(round(options.max_megapixels * 1e6), 1),
    )


def _file(path: str | None) -> Mapping[str, Any]:
    if not path:
        return {}
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RequestError(f"{path}: cannot be read as YAML ({error}): check it") from error
    if not isinstance(found, dict):
        raise RequestError(f"{path}: holds no options: write lines such as 'port: 8000'")
    return {str(name).replace("-", "_"): value for name, value in found.items()}


def _environment(parser: argparse.ArgumentParser) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for action in parser._actions:
        text = os.environ.get(f"{PREFIX}{action.dest.upper()}")
        if text is None or action.dest == "config":
            continue
        if action.nargs == "+":
            found[action.dest] = shlex.split(text)
        elif action.nargs == 0:
            found[action.dest] = text.lower() in ("1", "true", "yes", "on")
        else:
            found[action.dest] = text
    return found


def _words(parser: argparse.ArgumentParser, values: Mapping[str, Any], origin: str) -> list[str]:
    """Return values as words of a command line, so that they are checked as those are."""
    actions = {action.dest: action for action in parser._actions if action.dest != "help"}
    words: list[str] = []
    for name, value in values.items():
        action = actions.get(name)
        if action is None:
            known = ", ".join(sorted(actions))
            raise RequestError(f"{origin}: there is no option {name}; there are {known}")
        option = action.option_strings[0]
        if action.nargs == 0:
            off = [one for one in action.option_strings if one.startswith("--no-")]
            words += [option] if value is True else off[:1]
        elif action.nargs == "+":
            words += [option, *map(str, value if isinstance(value, list) else [value])]
        elif value is not None:
            words.append(f"{option}={value}")
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="videollm serve",
        description="Open the chat page and the API: choose a video, ask about it.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", help="a YAML file with these options")
    parser.add_argument("--model", default="demo", help="name or folder of a model (default: demo)")
    parser.add_argument("--adapter", help="folder of a LoRA adapter to put onto it")
    parser.add_argument("--quantization", help="nf4 (4 bits) or int8, of the LLM (default: none)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one (default: 7860)")
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="open the page in a browser (default: where there is a desktop)",
    )
    parser.add_argument(
        "--page",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the chat page beside the API (default: yes)",
    )
    parser.add_argument(
        "--share",
        action="store_true",
        help="make a public link through Gradio's servers: videos and questions pass them",
    )
    parser.add_argument("--verbose", action="store_true", help="say more on the terminal")
    _add_access(parser)
    _add_engine(parser)
    _add_limits(parser)
    return parser


def _add_access(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("who and what is let in")
    for option, words in (
        (
            "--api-keys",
            "keys of the API, one each of somebody; better not on the command line",
        ),
        ("--allowed-media", "folders whose files may be asked about by path"),
        ("--allowed-hosts", "hosts that may be fetched from though they are not public: cameras"),
        ("--public-names", "names under which a proxy offers this server"),
    ):
        access.add_argument(option, nargs="+", default=[], help=words)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    engine = parser.add_argument_group("how questions are answered")
    for option, count, words in (
        ("--max-waiting", 8, "questions that may wait"),
        ("--max-batch", 4, "questions that are answered together"),
        ("--max-live", 8, "streams that may be watched"),
    ):
        engine.add_argument(option, type=_count, default=count, help=f"{words} (default: {count})")
    for option, amount, words in (
        ("--answer-seconds", 600.0, "from a question to the end of its answer"),
        ("--fetch-seconds", 30.0, "for a download"),
        ("--keep-seconds", 3600.0, "that an unused file is kept"),
        ("--live-idle-seconds", 900.0, "after which a stream that nobody asks is closed"),
        ("--grace-seconds", 3.0, "for answers on their way when the server is stopped"),
    ):
        engine.add_argument(
            option, type=_amount, default=amount, help=f"seconds {words} (default: {amount:g})"
        )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    usual = DecodeLimits()
    limits = parser.add_argument_group("what an uploaded video may cost, or it is refused")
    for option, value, words in (
        ("--max-upload-mib", 200.0, "size of an upload or download"),
        ("--store-mib", 4096.0, "size of all of them together"),
        ("--open-seconds", usual.open_seconds, "time to find out what it is"),
        ("--decode-seconds", usual.decode_seconds, "time to decode the frames of a question"),
        ("--decode-memory-mib", usual.memory_bytes / 2**20, "memory for that"),
        ("--max-video-mib", usual.max_source_bytes / 2**20, "size of the file"),
        ("--max-megapixels", usual.max_pixels / 1e6, "size of a frame"),
    ):
        limits.add_argument(
            option, type=_amount, default=value, help=f"{words} (default: {value:.4g})"
        )


def _amount(text: str) -> float:
    amount = float(text)
    if not 0 < amount < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and finite")
    return amount


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return count
