"""Long videos in constant memory: what it costs, beside reading all tokens of all frames.

python -m benchmarks.long_video --part stream,answers,running,encoders,accuracy [--output FOLDER]

`stream`: an hour at 2 frames a second: state, tokens, resident memory and the cost of a frame from
its start to its end. `answers`: time to the first token and memory against frames, for each policy
of memory and for the plain way, in which the same language model reads all tokens of all frames
(K the same, no times between them). `running`: a 720p file watched with a question a minute of it,
decode included, and the plan beside the measured peak. `encoders`: ours chunk by chunk against a
ViT of the same size, per token frame and jointly. `accuracy`: right answers against length, from
folders of `videollm eval --tasks needle` (--needle). A part is added to the file that is there, so
that they can be run one by one; --contenders and --frames take some of `answers` and `encoders`.
Draws a PNG (`pip install 'videollm[train]'`). About 15 minutes on two cores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.long_video_parts import (
    CONTENDERS,
    ENCODERS,
    measure_answer,
    measure_encoder,
    measure_running,
    measure_stream,
)
from benchmarks.long_video_plot import draw
from benchmarks.measure import apart, source_commit
from benchmarks.stream_memory import draw as draw_file
from videollm.runtime import environment_report

NUM_FRAMES = (64, 256, 1024, 7200)
MAX_PLAIN_FRAMES = 1024
"""The plain way takes more than a minute there, and by far more than an hour at 7,200."""

ENCODER_FRAMES = (64, 256, 1024)
PARTS: tuple[str, ...] = ("stream", "answers", "running", "encoders", "accuracy")
WINDOW_PUSHES = 32
BUDGET_TOKENS = 2048


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for, merge them into the record, draw."""
    arguments = sys.argv[1:] if argv is None else argv
    options = _parse(arguments)
    path = options.output / "long_video.json"
    record: dict[str, Any] = {}
    parts = {
        "stream": run_stream,
        "answers": run_answers,
        "running": run_running,
        "encoders": run_encoders,
        "accuracy": run_accuracy,
    }
    for name in options.part:
        results = parts[name](options)
        record = json.loads(path.read_text()) if path.exists() else {}
        known = record.get(name, {}).get("results", {})
        record[name] = {
            "command": " ".join(["python -m benchmarks.long_video", *arguments]),
            "commit": source_commit(),
            "results": _merged(known, results),
        }
        record["environment"] = environment_report()
        options.output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(name, "written to", path, flush=True)
    draw(options.output / "long_video.png", record)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--part", type=names, default=["stream", "answers", "running", "encoders"])
    parser.add_argument("--contenders", type=names, default=[*CONTENDERS])
    parser.add_argument("--frames", type=names, default=None, help="by commas")
    parser.add_argument("--pushes", type=int, default=WINDOW_PUSHES, help="compared in `stream`")
    parser.add_argument("--seconds", type=int, default=300, help="of the file of `running`")
    parser.add_argument("--needle", type=Path, action="append", default=[], help="a run's folder")
    cache = Path(tempfile.gettempdir()) / "videollm_stream_memory"
    parser.add_argument("--cache", type=Path, default=cache)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    known = {"--part": PARTS, "--contenders": tuple(CONTENDERS)}
    for flag, allowed in known.items():
        if unknown := set(getattr(options, flag.removeprefix("--"))) - set(allowed):
            parser.error(f"{flag} {', '.join(unknown)}: choose from {', '.join(allowed)}")
    return options


def _counts(options: argparse.Namespace, default: tuple[int, ...]) -> list[int]:
    return [int(count) for count in options.frames or default]


def run_stream(options: argparse.Namespace) -> dict[str, Any]:
    """Watch an hour."""
    count = _counts(options, (NUM_FRAMES[-1],))[-1]
    results = apart(measure_stream, count, BUDGET_TOKENS, options.pushes)
    print({name: value for name, value in results.items() if name != "marks"}, flush=True)
    return results


def run_answers(options: argparse.Namespace) -> dict[str, Any]:
    """Ask after clips of growing length."""
    results: dict[str, Any] = {}
    for name in options.contenders:
        for count in _counts(options, NUM_FRAMES):
            if name == "plain" and count > MAX_PLAIN_FRAMES:
                continue
            found = apart(measure_answer, name, count)
            print(name, found, flush=True)
            results.setdefault(name, {})[str(count)] = found
    return results


def run_running(options: argparse.Namespace) -> dict[str, Any]:
    """Watch a file of 720p, and hold the plan against what was needed."""
    path = options.cache / f"{options.seconds}s.mp4"
    if not path.exists():
        draw_file(path, options.seconds)
    found = apart(measure_running, str(path), 2 * options.seconds, BUDGET_TOKENS)
    words = ["plan", "--no-time", "--json", "--hours", str(options.seconds / 3600)]
    words += ["--budget-tokens", str(BUDGET_TOKENS)]
    command = [sys.executable, "-m", "videollm", *words]
    planned = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found["planned_bytes"] = planned["total_bytes"]
    found["planned_parts"] = planned["parts"]
    found["planned_by_measured"] = round(planned["total_bytes"] / found["peak_bytes"], 4)
    print(found, flush=True)
    return found


def run_encoders(options: argparse.Namespace) -> dict[str, Any]:
    """Encode clips of growing length."""
    results: dict[str, Any] = {}
    for name in ENCODERS:
        for count in _counts(options, ENCODER_FRAMES):
            found = apart(measure_encoder, name, count)
            print(name, found, flush=True)
            results.setdefault(name, {})[str(count)] = found
    return results


def run_accuracy(options: argparse.Namespace) -> dict[str, Any]:
    """Collect the scores of evaluations by length and condition."""
    results: dict[str, Any] = {}
    for folder in options.needle:
        found = json.loads((folder / "results.json").read_text())
        policies = found["settings"]["policies"]
        for task, scores in found["tasks"].items():
            for condition, values in scores["conditions"].items():
                name = policies[0] if condition == "model" else condition
                for minutes, score in values["groups"]["minutes"].items():
                    kept = {key: score[key] for key in ("accuracy", "interval", "num_items")}
                    place = results.setdefault(f"{task} {scores['split']}", {})
                    place.setdefault(name, {})[minutes] = kept
    return results


def _merged(known: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return both, the new where both have a value."""
    result = dict(known)
    for name, value in new.items():
        held = result.get(name)
        is_pair = isinstance(value, dict) and isinstance(held, dict)
        result[name] = _merged(held, value) if is_pair and held is not None else value
    return result


if __name__ == "__main__":
    sys.exit(main())
