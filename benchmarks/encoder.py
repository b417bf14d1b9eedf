"""Measure the encoder against its rivals on this machine's processors.

python -m benchmarks.encoder [scan] [streaming] [pace] [frames] [--output FOLDER] [--threads 2]

`scan`: the compiled selective scan against a plain sequential loop, mambapy's parallel scan and
transformers' own path. `streaming`: chunks against the whole, and the bytes of the state.
`pace`: what a frame costs in clips of 64 to 512 frames, streamed and whole, measured in turns.
`frames`: the encoder on 8 to 512 frames against the same-size "T" and "M" patterns. Each writes a
JSON file and prints its ratios; `frames` draws a PNG too. Needs mambapy and matplotlib
(`pip install mambapy 'videollm[eval]'`); some 30 minutes on two cores, and nothing else should run
beside it.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.encoder_contenders import (
    CONTENDERS,
    check_streaming,
    measure_encoder,
    measure_pace,
)
from benchmarks.measure import save
from benchmarks.scan_contenders import compare_scans

SHAPES_BLES = ((1, 1568, 768, 16), (4, 1024, 384, 16), (8, 208, 384, 16))
PACE_FRAMES = (64, 128, 256, 512)
NUM_FRAMES = (8, 16, 32, 64, 128, 256, 512)
MIB = 1 << 20


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", help="scan, streaming, pace, frames; all by default")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--max-frames", type=int, default=NUM_FRAMES[-1])
    options = parser.parse_args(arguments)
    parts = {
        "scan": run_scan,
        "streaming": run_streaming,
        "pace": run_pace,
        "frames": run_frames,
    }
    if unknown := set(options.parts) - set(parts):
        parser.error(f"part {', '.join(sorted(unknown))}: choose from {', '.join(parts)}")
    for name in options.parts or parts:
        results = parts[name](options)
        command = ["benchmarks.encoder", *arguments]
        print(save(options.output, f"encoder_{name}", results, command))
    return 0


def run_scan(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the scans; print a line for each shape and pass."""
    cases = []
    for shape in SHAPES_BLES:
        case = compare_scans(shape, threads=options.threads)
        cases.append(case)
        for passes in ("forward", "forward+backward"):
            part = case[passes]
            ratios = ", ".join(f"{name} {ratio:.1f}x" for name, ratio in part["ratio"].items())
            times = ", ".join(f"{n} {1e3 * s:.1f} ms" for n, s in part["seconds"].items())
            print(
                f"{shape} {passes}: {ratios} the speed of {part['fastest_rival']} ({times});",
                end=" ",
            )
            print(f"memory {part['memory_of_the_loop']:.3f} of the loop's", flush=True)
    return {"threads": options.threads, "cases": cases}


def run_streaming(options: argparse.Namespace) -> dict[str, Any]:
    """Hold chunks against the whole and watch the state's size."""
    found = check_streaming(threads=options.threads)
    print(found, flush=True)
    return {"threads": options.threads, **found}


def run_pace(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the frame-causal encoder's cost of a frame; print how much it varies."""
    counts = tuple(count for count in PACE_FRAMES if count <= options.max_frames)
    seconds = measure_pace(counts, threads=options.threads)
    streamed, whole = seconds["streamed"], seconds["whole"]
    spread = max(streamed.values()) / min(streamed.values())
    throughput = {count: round(whole[count] / streamed[count], 3) for count in streamed}
    for kind, found in seconds.items():
        line = ", ".join(f"{count} frames: {1e3 * value:.1f}" for count, value in found.items())
        print(f"{kind}, ms a frame: {line}")
    print(f"streamed, dearest over cheapest: {spread:.3f}; throughput over whole: {throughput}")
    return {
        "threads": options.threads,
        "seconds_per_frame": seconds,
        "streamed_dearest_over_cheapest": spread,
        "streamed_throughput_over_whole": throughput,
    }


def run_frames(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every contender at every length, draw the plot, print the ratios."""
    counts = [count for count in NUM_FRAMES if count <= options.max_frames]
    curves: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for count in counts:
        for name, contender in CONTENDERS.items():
            if contender.max_frames is not None and count > contender.max_frames:
                continue
            point = {"frames": count, **measure_encoder(name, count, threads=options.threads)}
            curves[name].append(point)
            per_frame = 1e3 * point["seconds"] / count
            peak = point["peak_bytes"] / MIB
            print(
                f"{name} {count} frames: {point['seconds']:.2f} s, {per_frame:.0f} ms a frame,",
                end=" ",
            )
            print(f"{peak:.0f} MiB", flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    draw(curves, options.output / "encoder_frames.png")
    ratios = {str(count): ratios_at(curves, count) for count in counts}
    for length, found in ratios.items():
        print(f"{length} frames, streamed against: {found}")
    return {"threads": options.threads, "curves": curves, "streamed_ratios": ratios}


def ratios_at(curves: dict[str, list[dict[str, Any]]], count: int) -> dict[str, dict[str, float]]:
    """Return our streamed time and memory as a share of each other contender's."""
    points = {
        name: point for name, curve in curves.items() for point in curve if point["frames"] == count
    }
    ours = points.pop("streamed")
    return {
        name: {
            "time": round(ours["seconds"] / point["seconds"], 3),
            "memory": round(ours["peak_bytes"] / max(1, point["peak_bytes"]), 3),
        }
        for name, point in points.items()
    }


def draw(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Plot time and peak memory over the number of frames, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (time_axes, memory_axes) = pyplot.subplots(1, 2, figsize=(11, 4.5))
    for name, curve in curves.items():
        frames = [point["frames"] for point in curve]
        label = CONTENDERS[name].label
        time_axes.plot(frames, [point["seconds"] for point in curve], "o-", label=label)
        memory_axes.plot(frames, [point["peak_bytes"] / MIB for point in curve], "o-", label=label)
    for axes, title in (
        (time_axes, "seconds a clip"),
        (memory_axes, "peak MiB above weights, input"),
    ):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("frames of 224 x 224")
        axes.set_title(title)
        axes.grid(visible=True, which="both", alpha=0.3)
    time_axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
