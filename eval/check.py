"""What is missing for some benchmarks, told before anything runs."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from videollm.errors import VideoLLMError
from videollm.eval.annotations import find_annotations
from videollm.eval.benchmarks import find_benchmarks
from videollm.eval.file_task import FileTask
from videollm.eval.settings import EvalSettings
from videollm.eval.spec_examples import split_part
from videollm.eval.spec_file import packaged_specs, read_spec
from videollm.eval.task import TaskSpec
from videollm.eval.wordnet import load_wordnet

__all__ = ["check_tasks"]

_SHOWN = 5


def check_tasks(settings: EvalSettings) -> tuple[list[str], bool]:
    """Return what there is and what is missing, a line each, and whether all can run.

    Args:
        settings: Names the tasks and the folders.

    Raises:
        RequestError: A task, split or family is unknown.
    """
    lines: list[str] = []
    complete = True
    for spec in find_benchmarks(settings):
        for line, is_fine in _check(spec, settings):
            lines.append(line)
            complete &= is_fine
    return lines, complete


def _check(spec: TaskSpec, settings: EvalSettings) -> Iterator[tuple[str, bool]]:
    """Yield lines about one benchmark, each with whether what it tells of is fine."""
    name = f"{spec.name} {spec.split_of(settings)}"
    if spec.draws_clips:
        yield f"{name}: drawn from a seed, nothing is needed", True
        return
    path = packaged_specs().get(spec.name)
    described = read_spec(path) if path else None
    if described is not None and described.unverified:
        yield f"{name}: unverified: {described.unverified}", True
    if described is not None:
        split = described.splits[spec.split_of(settings)]
        found, missing = find_annotations(split, Path(settings.annotations))
        for file in missing:
            yield f"{name}: missing annotations {Path(settings.annotations, file)}", False
        if missing:
            yield f"{name}: layout: {' '.join(described.layout.split())}", True
            return
        if any(file.suffix == ".parquet" for file in found) and not _is_installed("pyarrow"):
            yield f"{name}: missing pyarrow: pip install 'videollm[eval]'", False
            return
    try:
        task = spec.build(settings)
        if spec.metric == "wups":
            load_wordnet()
    except VideoLLMError as error:
        yield f"{name}: {' '.join(str(error).split())}", False
        return
    assert isinstance(task, FileTask), "only drawn benchmarks are others"
    yield from _check_files(name, task, described.videos_from if described else "")
    if spec.needs_judge:
        yield f"{name}: needs a judge: --judge URL --judge-model NAME, or --judge self", True


def _check_files(name: str, task: FileTask, source: str) -> Iterator[tuple[str, bool]]:
    yield f"{name}: {len(task.examples)} questions", True
    for flaw in task.flaws:
        yield f"{name}: not asked: {flaw.id} {flaw.reason}", True
    missing = task.missing_videos()
    num_videos = len({split_part(example.video)[0] for example in task.examples})
    yield (
        f"{name}: {num_videos - len(missing)} of {num_videos} videos in {task.videos}",
        not missing,
    )
    for video in missing[:_SHOWN]:
        yield f"{name}: missing video {task.videos / video}", False
    if len(missing) > _SHOWN:
        yield f"{name}: ... and {len(missing) - _SHOWN} more", False
    if missing and source:
        yield f"{name}: videos: {source}", True
    subtitles = {example.subtitles for example in task.examples if example.subtitles}
    lost = sorted(path for path in subtitles if not Path(path).is_file())
    if lost:
        yield (
            f"{name}: {len(lost)} of {len(subtitles)} files of subtitles are missing, "
            f"the first is {lost[0]}",
            False,
        )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
