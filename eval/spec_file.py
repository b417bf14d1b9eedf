"""A benchmark as data: what a YAML file under `eval/specs/` says, checked.

Texts with braces are templates: "{video}" stands for that field of a record, "{file}" for the
name of its annotation file without folder and ending, "{row}" for its place in that file from 0,
and any name under `tables` for what is looked up there.
"""

from dataclasses import MISSING, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from videollm.errors import DataError
from videollm.eval.settings import reject_unknown

__all__ = ["SpecFile", "Table", "packaged_specs", "read_spec"]

AVERAGES = ("items", "families")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFiles:
    """Say where the records of one split lie, below the folder of annotations.

    Args:
        files: Paths or patterns ("mvbench/*.json"), in the order of the benchmark.
        levels: Names given to the keys of nested objects, outermost first, above the records.
        list: Key of the list of records below the levels; empty where they are the value itself.
        pattern: Regular expression with named groups that reads one line of a text file.
        join: File whose records are added to these.
        on: The field that both files share, needed with `join`.
    """

    files: tuple[str, ...]
    levels: tuple[str, ...] = ()
    list: str = ""
    pattern: str = ""
    join: str = ""
    on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Look up a value by a key made of a record.

    Args:
        key: Template of the key.
        values: The values by key; or
        file: a JSON object of them, below the folder of annotations.
        default: What stands for a key that is not there; None makes it an error.
    """

    key: str
    values: dict[str, str] = field(default_factory=dict)
    file: str = ""
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecFile:
    """Hold one benchmark as its YAML file says it.

    Args:
        name: What `--tasks` calls it.
        title: One line about it.
        layout: Where the layout of files, the prompt and the metric are taken from.
        unverified: Why it was not held against a real annotation file; empty where it was.
        splits: Where the records of each split lie.
        default_split: The split that is asked when none is named.
        id: Template of an item's name.
        family: Template of what an item is about; scores are broken down by it.
        families: All values of `family`, in the order of reports.
        video: Template of a video's path below the folder of videos.
        videos_from: Where videos can be had, for `--check`.
        question: Template of the question.
        answer: Template of the right answer's text; or
        answer_index: of its place among the choices, from 0; or
        answer_letter: of its letter.
        answer_strip: Regular expression of what is taken off the answer's text.
        prompt: Template of what the model is asked, with {question} and {choices}.
        metric: How answers are scored, a name of `videollm.eval.metrics.METRICS`.
        choices: A field that holds a list of choices, or a list of templates, one a choice.
        choices_pattern: Regular expression whose first group is a choice, found in the field
            `choices` again and again.
        choices_strip: Regular expression of what is taken off each choice ("A. ").
        no_choice: Values that stand for no choice.
        choice_format: How a choice is shown in the prompt.
        capitalise: Whether the question's first letter is made a capital.
        aliases: Templates of other right answers; an empty one does not count.
        groups: Templates of further axes of the report.
        start, end: Templates of the part of the video that is asked about, in seconds.
        folder_fps: Pictures a second where a video is a folder of pictures.
        subtitles: Template of the file of subtitles below the folder of annotations.
        tables: What is looked up.
        average: Which mean is the score.
        judge: How a judge is asked; empty where none is of use.
        reference: Template of what a judge is told beside the answer.
        needs_judge: Whether nothing can be scored without a judge.
        max_new_tokens: Longest answer.
    """

    name: str
    title: str
    layout: str
    splits: dict[str, SplitFiles]
    video: str
    question: str
    prompt: str
    metric: str
    unverified: str = ""
    default_split: str = ""
    id: str = "{file}-{row}"
    family: str = "all"
    families: tuple[str, ...] = ()
    videos_from: str = ""
    answer: str = ""
    answer_index: str = ""
    answer_letter: str = ""
    answer_strip: str = ""
    capitalise: bool = False
    choices: str | tuple[str, ...] = ()
    choices_pattern: str = ""
    choices_strip: str = ""
    no_choice: tuple[str, ...] = ()
    choice_format: str = "({letter}) {text}"
    aliases: tuple[str, ...] = ()
    groups: dict[str, str] = field(default_factory=dict)
    start: str = ""
    end: str = ""
    folder_fps: float | None = None
    subtitles: str = ""
    tables: dict[str, Table] = field(default_factory=dict)
    average: str = "items"
    judge: str = ""
    reference: str = ""
    needs_judge: bool = False
    max_new_tokens: int = 32


def packaged_specs() -> dict[str, Path]:
    """Return the YAML file of every benchmark that comes with the package, by name."""
    folder = Path(str(resources.files("videollm.eval").joinpath("specs")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_spec(path: Path) -> SpecFile:
    """Return what a YAML file says.

    A file with `extends: name` says only what differs from that packaged benchmark.

    Args:
        path: The file.

    Raises:
        DataError: It cannot be read, lacks a field, or has one that is not known.
    """
    values = _read_values(path)
    splits = {
        name: _build(SplitFiles, one, f"{path}: split {name}")
        for name, one in values.pop("splits", {}).items()
    }
    tables = {
        name: _build(Table, one, f"{path}: table {name}")
        for name, one in values.pop("tables", {}).items()
    }
    spec = _build(SpecFile, {**values, "splits": splits, "tables": tables}, str(path))
    if not splits:
        raise DataError(f"{path}: has no splits; name the annotation files under 'splits'")
    answers = [spec.answer, spec.answer_index, spec.answer_letter]
    if sum(bool(answer) for answer in answers) != 1:
        raise DataError(f"{path}: give one of answer, answer_index and answer_letter")
    reject_unknown(f"average of {path.name}", spec.average, AVERAGES)
    return spec


def _read_values(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read as YAML ({error}); mend or name another") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} does not hold fields; look at eval/specs for examples")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    packaged = packaged_specs()
    reject_unknown(f"benchmark to extend in {path.name}", str(parent), tuple(packaged))
    return {**_read_values(packaged[str(parent)]), **values}


def _build(kind: type, values: Any, where: str) -> Any:  # noqa: ANN401 (YAML values)
    if not isinstance(values, dict):
        raise DataError(f"{where}: does not hold fields")
    known = {one.name: one for one in fields(kind)}
    for name in values:
        reject_unknown(f"field of {where}:", str(name), tuple(known))
    required = [one.name for one in known.values() if one.default is MISSING]
    missing = [
        name for name in required if name not in values and known[name].default_factory is MISSING
    ]
    if missing:
        raise DataError(f"{where}: lacks {', '.join(missing)}")
    frozen = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return kind(**frozen)
