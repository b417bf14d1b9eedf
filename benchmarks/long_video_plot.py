"""The picture of `benchmarks.long_video`: what is there of it."""

from pathlib import Path
from typing import Any

__all__ = ["draw"]

MIB = 2**20
_FRAMES_A_MINUTE = 120


def draw(path: Path, record: dict[str, Any]) -> None:
    """Draw first token, memory, encoders and accuracy against frames.

    Args:
        path: The PNG.
        record: As `long_video.json` holds it; parts may be missing.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    first, memory, encoder, accuracy = figure.subplots(2, 2).flatten()
    answers = record.get("answers", {}).get("results", {})
    _curves(first, answers, "first_token_seconds", 1)
    first.set(title="First token of an answer, memory not read yet", ylabel="seconds")
    _curves(memory, answers, "extra_bytes", MIB)
    memory.set(title="Peak memory beside the model", ylabel="MiB")
    _curves(encoder, record.get("encoders", {}).get("results", {}), "peak_bytes", MIB)
    encoder.set(title="Encoder: peak memory beside weights and frames", ylabel="MiB")
    scores = record.get("accuracy", {}).get("results", {}).get("needle quiet", {})
    for name, lengths in scores.items():
        points = sorted((float(minutes), one["accuracy"]) for minutes, one in lengths.items())
        frames = [minutes * _FRAMES_A_MINUTE for minutes, _ in points]
        accuracy.plot(frames, [100 * share for _, share in points], marker="o", label=name)
    accuracy.set(title="Needle: right answers, 2,048 tokens", ylabel="%", ylim=(0, 100))
    for axes in (first, memory, encoder, accuracy):
        axes.set(xscale="log", xlabel="frames")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    for axes in (first, memory, encoder):
        axes.set_yscale("log")
    figure.savefig(path, dpi=110)


def _curves(axes: Any, results: dict[str, Any], name: str, unit: float) -> None:  # noqa: ANN401
    for label, by_frames in results.items():
        points = sorted((int(count), one[name] / unit) for count, one in by_frames.items())
        axes.plot(*zip(*points, strict=True), marker="o", label=label)
