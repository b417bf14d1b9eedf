"""Examples from records, by the templates of a spec.

What a record cannot be asked for is not hidden: an item without a question, or whose answer is
none of its choices, is kept apart with the reason, counted and never scored.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videollm.choices import LETTERS, choice_letter, choice_text, label_choices
from videollm.errors import DataError
from videollm.eval.annotations import Record, read_records
from videollm.eval.spec_file import SpecFile, SplitFiles, Table
from videollm.eval.task import SUBTITLES, Example
from videollm.scoring import normalize_answer

__all__ = ["Flaw", "SpecItems", "build_items", "part_name", "split_part"]

_PART = "#t="


@dataclass(frozen=True, slots=True)
class Flaw:
    """Say why an item cannot be asked.

    Args:
        id: Its name.
        reason: What is wrong with its annotation.
    """

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SpecItems:
    """Hold the items of a split.

    Args:
        examples: Those that can be asked, in the order of the files.
        flaws: The others.
    """

    examples: tuple[Example, ...]
    flaws: tuple[Flaw, ...]

    @property
    def num_records(self) -> int:
        """Return how many records the files hold."""
        return len(self.examples) + len(self.flaws)


class _NoFieldError(Exception):
    """Tell which field a template asked for in vain."""


class _Values(dict[str, Any]):
    """The fields that a template may name."""

    def __missing__(self, name: str) -> str:
        raise _NoFieldError(name)


def part_name(video: str, start: float | None, end: float | None) -> str:
    """Return the name of a part of a video, as a media fragment ("a.mp4#t=1.5,4").

    Args:
        video: The video's path.
        start: Where the part begins in seconds; None for the start.
        end: Where it ends; None for the end.
    """
    if start is None and end is None:
        return video
    first = "" if start is None else f"{start:g}"
    return f"{video}{_PART}{first}" + ("" if end is None else f",{end:g}")


def split_part(name: str) -> tuple[str, float | None, float | None]:
    """Return the path, the start and the end that `part_name` was given."""
    video, _, part = name.partition(_PART)
    first, _, last = part.partition(",")
    return video, float(first) if first else None, float(last) if last else None


def build_items(spec: SpecFile, split: SplitFiles, folder: Path) -> SpecItems:
    """Return the items of a split.

    Args:
        spec: The benchmark.
        split: The split's files.
        folder: The folder of annotations.

    Raises:
        DataError: A file is missing or malformed, or a record lacks a field; the message has its
            number.
    """
    tables = {name: _read_table(table, folder) for name, table in spec.tables.items()}
    examples: list[Example] = []
    flaws: list[Flaw] = []
    seen: set[str] = set()
    for record in read_records(split, folder):
        try:
            item = _build_item(spec, _fill_in(spec, record, tables), folder)
        except _NoFieldError as error:
            raise DataError(f"{record.where} lacks the field {error}") from error
        except ValueError as error:
            raise DataError(f"{record.where}: {error}") from error
        if item.id in seen:
            raise DataError(f"{record.where}: the name {item.id} is there twice")
        seen.add(item.id)
        if isinstance(item, Flaw):
            flaws.append(item)
        else:
            examples.append(item)
    return SpecItems(tuple(_group_by_video(examples)), tuple(flaws))


def _group_by_video(examples: Sequence[Example]) -> list[Example]:
    """Return examples with those about one video side by side, in order of first appearance."""
    by_video: dict[str, list[Example]] = {}
    for example in examples:
        by_video.setdefault(example.video, []).append(example)
    return [example for members in by_video.values() for example in members]


def _read_table(table: Table, folder: Path) -> Mapping[str, Any]:
    if not table.file:
        return table.values
    path = folder / table.file
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); put the file there") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} does not hold an object; fetch it again")
    return content


def _fill_in(spec: SpecFile, record: Record, tables: Mapping[str, Mapping[str, Any]]) -> _Values:
    values = _Values(record.values)
    for name, table in spec.tables.items():
        key = table.key.format_map(values)
        found = tables[name].get(key, table.default)
        if found is None:
            raise ValueError(f"the table {name} has nothing for {key!r}")
        values[name] = found
    return values


def _build_item(spec: SpecFile, values: _Values, folder: Path) -> Example | Flaw:
    name = spec.id.format_map(values)
    question = spec.question.format_map(values).strip()
    if not question:
        return Flaw(name, "has no question")
    if spec.capitalise:
        question = question[0].upper() + question[1:]
    choices = label_choices(_choices(spec, values))
    answer = _answer(spec, values, choices)
    if answer is None:
        return Flaw(name, f"the answer {spec.answer.format_map(values)!r} is none of the choices")
    if not answer:
        return Flaw(name, "has no answer")
    right = {normalize_answer(choice_text(answer))} if choices else set()
    twins = [
        one for one in choices if one != answer and normalize_answer(choice_text(one)) in right
    ]
    aliases = [alias.format_map(values).strip() for alias in spec.aliases]
    return Example(
        id=name,
        family=spec.family.format_map(values),
        video=part_name(
            spec.video.format_map(values), _seconds(spec.start, values), _seconds(spec.end, values)
        ),
        question=_prompt(spec, values, question, choices),
        answer=answer,
        aliases=(*twins, *filter(None, aliases)),
        choices=choices,
        groups={axis: text.format_map(values) for axis, text in spec.groups.items()},
        subtitles=str(folder / spec.subtitles.format_map(values)) if spec.subtitles else "",
        reference=spec.reference.format_map(values),
    )


def _choices(spec: SpecFile, values: _Values) -> list[str]:
    if isinstance(spec.choices, tuple):
        texts = [template.format_map(values) for template in spec.choices]
    elif spec.choices_pattern:
        texts = re.findall(spec.choices_pattern, str(values[spec.choices]), re.M)
    else:
        texts = [str(text) for text in values[spec.choices]]
    if spec.choices_strip:
        texts = [re.sub(spec.choices_strip, "", text) for text in texts]
    kept = [text.strip() for text in texts if text.strip() not in spec.no_choice]
    if len(kept) > len(LETTERS):
        raise ValueError(f"has {len(kept)} choices; at most {len(LETTERS)} have letters")
    return kept


def _answer(spec: SpecFile, values: _Values, choices: Sequence[str]) -> str | None:
    """Return the right answer as one of the choices, or as text where there are none."""
    if spec.answer:
        text = spec.answer.format_map(values).strip()
        if spec.answer_strip:
            text = re.sub(spec.answer_strip, "", text).strip()
        if not choices:
            return text
        return next((choice for choice in choices if choice_text(choice) == text and text), None)
    if spec.answer_index:
        index = int(spec.answer_index.format_map(values))
    else:
        letter = spec.answer_letter.format_map(values).strip().upper()
        index = LETTERS.find(letter) if len(letter) == 1 else -1
    if not 0 <= index < len(choices):
        raise ValueError(f"the answer is number {index} of {len(choices)} choices")
    return choices[index]


def _prompt(spec: SpecFile, values: _Values, question: str, choices: Sequence[str]) -> str:
    shown = [
        spec.choice_format.format(letter=choice_letter(choice), text=choice_text(choice))
        for choice in choices
    ]
    own = {"question": question, "choices": "\n".join(shown), "subtitles": SUBTITLES}
    return spec.prompt.format_map(_Values({**values, **own})).strip()


def _seconds(template: str, values: _Values) -> float | None:
    if not template:
        return None
    named = re.fullmatch(r"\{(\w+)\}", template)
    value = values.get(named[1]) if named else template.format_map(values)
    return None if value in (None, "") else float(str(value))
