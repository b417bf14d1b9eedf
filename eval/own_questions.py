"""A user's own questions: JSON lines with a video, a question and its answer.

One object a line: `video` (a path, from the file's folder), `question`, `answer`; where there are
choices, `choices` (a list of texts) and the answer as one of them, its letter, or its place from
0. May also have `id`, `family` (or `category`), `aliases`, `start` and `end` in seconds. Other
fields are passed over.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from videollm.choices import LETTERS, choice_text, label_choices
from videollm.errors import DataError
from videollm.eval.annotations import read_records
from videollm.eval.file_task import FileTask, keep_some
from videollm.eval.metrics import score_short_answer
from videollm.eval.settings import EvalSettings
from videollm.eval.spec_examples import part_name
from videollm.eval.spec_file import SplitFiles
from videollm.eval.task import Example, TaskSpec

__all__ = ["own_benchmark", "read_own_questions"]

_LETTER_DIRECTLY = "Answer with the option's letter from the given choices directly."


def own_benchmark(path: Path) -> TaskSpec:
    """Return the benchmark that a file of questions makes.

    Args:
        path: The file, JSON lines.

    Raises:
        DataError: It is missing or a line is malformed; the message has its number.
    """
    if not path.is_file():
        raise DataError(f"{path} is not there; give the path of a file of JSON lines")
    examples = read_own_questions(path)
    if not examples:
        raise DataError(f"{path} holds no question; write one JSON object a line")
    families = tuple(dict.fromkeys(example.family for example in examples))

    def build(settings: EvalSettings) -> FileTask:
        kept = keep_some(examples, settings.families, settings.limit)
        return FileTask(path.stem, kept, videos=path.parent, sources=[path], settings=settings)

    return TaskSpec(
        name=path.stem,
        splits=("all",),
        families=families,
        build=build,
        score=score_short_answer,
        metric="short_answer",
        judge="open_answer",
    )


def read_own_questions(path: Path) -> list[Example]:
    """Return the questions of a file, in its order.

    Args:
        path: The file.

    Raises:
        DataError: A line is malformed; the message names the first and how many more there are.
    """
    examples: list[Example] = []
    complaints: list[str] = []
    for number, record in enumerate(
        read_records(SplitFiles(files=(path.name,)), path.parent), start=1
    ):
        try:
            examples.append(_read_question(record.values, f"{number}"))
        except ValueError as error:
            complaints.append(f"{record.where} {error}")
    if complaints:
        more = f" (and {len(complaints) - 1} more lines)" if len(complaints) > 1 else ""
        raise DataError(complaints[0] + more)
    names = [example.id for example in examples]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: the id {twice} is there twice; give each line its own, or none")
    return examples


def _read_question(values: Mapping[str, Any], number: str) -> Example:
    missing = [name for name in ("video", "question", "answer") if name not in values]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}; each line needs video, question and answer")
    question = str(values["question"]).strip()
    if not question:
        raise ValueError("has an empty question")
    offered = values.get("choices") or []
    if not isinstance(offered, list) or len(offered) > len(LETTERS):
        raise ValueError(f"has choices that are no list of at most {len(LETTERS)} texts")
    labelled = offered and all(
        str(text).startswith(f"({letter}) ") for letter, text in zip(LETTERS, offered, strict=False)
    )
    texts = [choice_text(str(text)) if labelled else str(text) for text in offered]
    choices = label_choices(texts)
    prompt = question
    if choices and not all(choice in question for choice in choices):
        prompt = "\n".join([question, *choices, _LETTER_DIRECTLY])
    return Example(
        id=str(values.get("id", number)),
        family=str(values.get("family", values.get("category", "all"))),
        video=part_name(str(values["video"]), _seconds(values, "start"), _seconds(values, "end")),
        question=prompt,
        answer=_read_answer(values["answer"], choices),
        aliases=tuple(str(alias) for alias in values.get("aliases") or ()),
        choices=choices,
    )


def _read_answer(answer: Any, choices: tuple[str, ...]) -> str:  # noqa: ANN401 (JSON value)
    text = str(answer).strip()
    if not choices:
        if not text:
            raise ValueError("has an empty answer")
        return text
    by_name = {choice_text(choice): choice for choice in choices}
    by_name |= {choice: choice for choice in choices}
    if text in by_name:
        return by_name[text]
    index = answer if isinstance(answer, int) else LETTERS.find(text.strip("()").upper() or "?")
    if len(text) > 3 or not 0 <= index < len(choices):
        raise ValueError(
            f"has the answer {text!r}, which is none of its {len(choices)} choices; give the text "
            "of one, its letter, or its place from 0"
        )
    return choices[index]


def _seconds(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or value < 0:
        raise ValueError(f"has {name} {value!r}; give seconds from 0")
    return float(value)
