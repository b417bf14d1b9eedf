"""The benchmarks that `--tasks` can name: drawn worlds, packaged specs, a user's own file."""

from collections.abc import Mapping
from pathlib import Path

from videollm.errors import DataError
from videollm.eval import needle, toyworld
from videollm.eval.annotations import find_annotations
from videollm.eval.file_task import FileTask, keep_some
from videollm.eval.metrics import METRICS
from videollm.eval.own_questions import own_benchmark
from videollm.eval.settings import EvalSettings, reject_unknown
from videollm.eval.spec_examples import build_items
from videollm.eval.spec_file import SpecFile, packaged_specs, read_spec
from videollm.eval.task import TaskSpec

__all__ = ["BENCHMARKS", "find_benchmark", "find_benchmarks", "spec_benchmark"]


def spec_benchmark(spec: SpecFile) -> TaskSpec:
    """Return the benchmark that a spec describes.

    Args:
        spec: As `read_spec` returns it.

    Raises:
        RequestError: It names a metric that there is not.
    """
    reject_unknown(f"metric of {spec.name}", spec.metric, tuple(METRICS))
    families = spec.families or ("all",)

    def build(settings: EvalSettings) -> FileTask:
        split = spec.splits[described.split_of(settings)]
        folder = Path(settings.annotations)
        items = build_items(spec, split, folder)
        strange = next((one for one in items.examples if one.family not in families), None)
        if strange is not None:
            raise DataError(
                f"{spec.name}: {strange.id} is of the family {strange.family!r}, which its spec "
                f"does not list: {', '.join(families)}"
            )
        return FileTask(
            spec.name,
            keep_some(items.examples, settings.families, settings.limit),
            flaws=items.flaws,
            videos=Path(settings.videos),
            sources=find_annotations(split, folder)[0],
            settings=settings,
            folder_fps=spec.folder_fps,
        )

    described = TaskSpec(
        name=spec.name,
        splits=tuple(spec.splits),
        families=families,
        build=build,
        score=METRICS[spec.metric],
        metric=spec.metric,
        default_split=spec.default_split,
        max_new_tokens=spec.max_new_tokens,
        average="families" if spec.average == "families" else "items",
        judge=spec.judge,
        needs_judge=spec.needs_judge,
    )
    return described


BENCHMARKS: Mapping[str, TaskSpec] = {
    **{
        spec.name: spec
        for spec in (
            *(toyworld.SPEC, toyworld.SHAPES_SPEC, toyworld.FOREIGN_SPEC),
            *(needle.SPEC, needle.SHAPES_SPEC),
        )
    },
    **{name: spec_benchmark(read_spec(path)) for name, path in packaged_specs().items()},
}
"""Every benchmark that comes with the package, by its name."""


def find_benchmark(name: str) -> TaskSpec:
    """Return the benchmark with that name, or that a file describes.

    Args:
        name: One of `BENCHMARKS`, or the path of a `.jsonl` of questions or a `.yaml` spec.

    Raises:
        RequestError: There is none; the message has the nearest names.
        DataError: The file cannot be used.
    """
    path = Path(name)
    if path.suffix == ".jsonl":
        return own_benchmark(path)
    if path.suffix in (".yaml", ".yml"):
        return spec_benchmark(read_spec(path))
    reject_unknown("task", name, tuple(BENCHMARKS))
    return BENCHMARKS[name]


def find_benchmarks(settings: EvalSettings) -> list[TaskSpec]:
    """Return the benchmarks that the settings name, in their order.

    Args:
        settings: Names the tasks, the split and the families.

    Raises:
        RequestError: A task, the split or a family is unknown; the message has the nearest names.
        DataError: A file that was named cannot be used.
    """
    specs: list[TaskSpec] = []
    for name in settings.tasks:
        spec = find_benchmark(name)
        if settings.split is not None:
            reject_unknown(f"split of {spec.name}", settings.split, spec.splits)
        for family in settings.families:
            reject_unknown(f"family of {spec.name}", family, spec.families)
        if spec.name in {other.name for other in specs}:
            raise DataError(f"two tasks are called {spec.name}; rename one of the files")
        specs.append(spec)
    return specs
