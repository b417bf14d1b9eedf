"""How a judge is asked, and how its reply is read; the wording is part of the record.

Source:
    `open_answer`: the protocol of Video-ChatGPT (mbzuai-oryx/Video-ChatGPT, quantitative
    evaluation): yes or no, and a mark from 0 to 5, in our words. `caption_choice`: that of
    TempCompass (llyx97/TempCompass): the judge answers a question from the caption alone.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from videollm.choices import parse_choice
from videollm.eval.task import Example

__all__ = ["JUDGE_PROMPTS", "JudgePrompt", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold what a judge decided.

    Args:
        correct: Whether the answer is right.
        measures: Further marks by name.
    """

    correct: bool
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """Ask a judge about one answer.

    Args:
        template: The text, with {question}, {answer}, {choices}, {reference} and {output}.
        read: Returns the verdict of a reply, or None where it has none.
    """

    template: str
    read: Callable[[str, Example], Verdict | None]

    def render(self, example: Example, output: str) -> str:
        """Return the text that a judge is sent.

        Args:
            example: What was asked, with its truth.
            output: What was answered.
        """
        truths = " or ".join((example.answer, *example.aliases))
        return self.template.format(
            question=example.question,
            answer=truths,
            choices="\n".join(example.choices),
            reference=example.reference,
            output=output.strip(),
        )


def _read_open_answer(reply: str, example: Example) -> Verdict | None:
    """Return the verdict of {"pred": "yes" or "no", "score": 0 to 5}, written in any dress."""
    del example
    found = re.search(r"\{[^{}]*\}", reply)
    if found is None:
        return None
    try:
        values = json.loads(found[0].replace("'", '"'))
        said, mark = str(values["pred"]).strip().lower(), float(values["score"])
    except (ValueError, KeyError, TypeError):
        return None
    if said not in ("yes", "no") or not 0 <= mark <= 5:
        return None
    return Verdict(said == "yes", {"judge_score": mark})


def _read_caption_choice(reply: str, example: Example) -> Verdict | None:
    """Return whether the judge found the right choice in the caption; "none" is wrong."""
    if re.search(r"\bnone\b", reply, re.I):
        return Verdict(False, {})
    index = parse_choice(reply, example.choices)
    return None if index is None else Verdict(example.choices[index] == example.answer, {})


JUDGE_PROMPTS: Mapping[str, JudgePrompt] = {
    "open_answer": JudgePrompt(
        "You compare an answer about a video with the right one. It is right when it means the "
        "same; other words for the same thing, and more detail that does not contradict, are "
        "fine.\n\nQuestion: {question}\nRight answer: {answer}\nGiven answer: {output}\n\n"
        'Reply with JSON alone, such as {{"pred": "yes", "score": 4}}: "pred" is "yes" or "no", '
        '"score" a whole number from 0 (nothing in common) to 5 (the same).',
        _read_open_answer,
    ),
    "caption_choice": JudgePrompt(
        "Below are the description of a video and a question with choices. Choose from what the "
        "description says, and from nothing else. Reply with the letter of the choice, such as "
        '"(B)", or with "none" where the description does not decide or no choice fits.\n\n'
        "Description: {output}\n\nQuestion: {reference}\n{choices}",
        _read_caption_choice,
    ),
}
"""Every way to ask a judge by its name."""
