"""The benchmarks that `--tasks` can name."""

from collections.abc import Mapping

from videollm.eval import toyworld
from videollm.eval.settings import EvalSettings, reject_unknown
from videollm.eval.task import TaskSpec

__all__ = ["BENCHMARKS", "find_benchmark", "find_benchmarks"]

BENCHMARKS: Mapping[str, TaskSpec] = {
    spec.name: spec for spec in (toyworld.SPEC, toyworld.SHAPES_SPEC, toyworld.FOREIGN_SPEC)
}
"""Every benchmark by its name."""


def find_benchmark(name: str) -> TaskSpec:
    """Return the benchmark with that name.

    Args:
        name: One of `BENCHMARKS`.

    Raises:
        RequestError: There is none; the message has the nearest names.
    """
    reject_unknown("task", name, tuple(BENCHMARKS))
    return BENCHMARKS[name]


def find_benchmarks(settings: EvalSettings) -> list[TaskSpec]:
    """Return the benchmarks that the settings name, in their order.

    Args:
        settings: Names the tasks, the split and the families.

    Raises:
        RequestError: A task, the split or a family is unknown; the message has the nearest names.
    """
    specs = []
    for name in settings.tasks:
        spec = find_benchmark(name)
        reject_unknown(f"split of {name}", settings.split, spec.splits)
        for family in settings.families:
            reject_unknown(f"family of {name}", family, spec.families)
        specs.append(spec)
    return specs
