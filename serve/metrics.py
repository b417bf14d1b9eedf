"""The engine's numbers in Prometheus' text format."""

from collections.abc import Iterable, Mapping

from videollm.runtime import rss_bytes
from videollm.serve.service import Service
from videollm.serve.tally import SECONDS_BOUNDS, Histogram

__all__ = ["CONTENT_TYPE", "write_metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def write_metrics(service: Service) -> str:
    """Return all numbers, each with its help.

    Args:
        service: Whose.
    """
    engine, tally = service.engine, service.engine.tally
    lines = [
        *_counts("requests_total", "Questions by their end", "end", tally.ends),
        *_counts("tokens_total", "Tokens by their kind", "kind", tally.tokens),
        *_number("busy_seconds_total", "Time in which the model worked", tally.busy_seconds),
        *_gauge("waiting", "Questions that wait", engine.num_waiting),
        *_gauge("running", "Questions that are being answered", engine.num_running),
        *_gauge("queue_limit", "Questions that may wait", engine.max_waiting),
        *_gauge("model_ready", "Whether the model is loaded", int(engine.status == "ok")),
        *_gauge("live_sessions", "Streams that are watched", len(service.live)),
        *_gauge("resident_bytes", "Memory of the process", rss_bytes()),
        *_histogram("first_piece_seconds", "From a question to its first piece", tally.first_piece),
        *_histogram("answer_seconds", "From a question to its whole answer", tally.whole),
    ]
    return "\n".join(lines) + "\n"


def _head(name: str, words: str, kind: str) -> list[str]:
    return [f"# HELP videollm_{name} {words}.", f"# TYPE videollm_{name} {kind}"]


def _counts(name: str, words: str, label: str, counts: Mapping[str, int]) -> Iterable[str]:
    rows = [f'videollm_{name}{{{label}="{key}"}} {count}' for key, count in sorted(counts.items())]
    return [*_head(name, words, "counter"), *rows]


def _number(name: str, words: str, value: float) -> Iterable[str]:
    return [*_head(name, words, "counter"), f"videollm_{name} {value:g}"]


def _gauge(name: str, words: str, value: float) -> Iterable[str]:
    return [*_head(name, words, "gauge"), f"videollm_{name} {value}"]


def _histogram(name: str, words: str, found: Histogram) -> Iterable[str]:
    rows = [
        f'videollm_{name}_bucket{{le="{bound:g}"}} {count}'
        for bound, count in zip(SECONDS_BOUNDS, found.counts, strict=True)
    ]
    return [
        *_head(name, words, "histogram"),
        *rows,
        f'videollm_{name}_bucket{{le="+Inf"}} {found.total}',
        f"videollm_{name}_sum {found.sum:g}",
        f"videollm_{name}_count {found.total}",
    ]
