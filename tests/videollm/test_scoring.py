"""Which answers are right."""

import pytest

from videollm.scoring import exact_match, normalize_answer, parse_seconds


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("The Red  Circle.", "red circle"),
        ("two", "2"),
        ("It's a gray-ish colour!", "its gray ish color"),
        ("1.5", "1.5"),
        ("-3", "-3"),
        ("a", "a"),
        ("", ""),
    ],
)
def test_normalisation_keeps_what_matters(said: str, kept: str) -> None:
    assert normalize_answer(said) == kept
    assert normalize_answer(kept) == kept


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("at 1.5 s", 1.5),
        ("1.5 seconds", 1.5),
        ("After two seconds.", 2.0),
        ("1500 ms", 1.5),
        ("0:01.5", 1.5),
        ("1:05", 65.0),
        ("3", 3.0),
        ("at 2.0 s.", 2.0),
        ("between 1 and 2 s", None),
        ("never", None),
        ("h264", None),
    ],
)
def test_moments_are_read(said: str, seconds: float | None) -> None:
    assert parse_seconds(said) == seconds


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Red", "red"),
        ("the red circle", "red circle"),
        ("Three.", "3"),
        ("Yes, there is.", "yes"),
        ("at 2 s", "at 1.5 s"),
        ("1.0 seconds", "at 1.5 s"),
        ("B", "(B) red"),
        ("(b)", "(B) red"),
        ("B. red", "(B) red"),
        ("red", "(B) red"),
        ("(B) Red.", "(B) red"),
        ("The answer is B", "(B) red"),
        ("(C) at 2.0 s", "(C) at 2.0 s"),
    ],
)
def test_right_answers(said: str, answer: str) -> None:
    assert exact_match(said, answer)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("red or blue", "red"),
        ("", "red"),
        ("23", "2"),
        ("no", "yes"),
        ("yes and no", "yes"),
        ("nothing", "no"),
        ("at 2.5 s", "at 1.5 s"),
        ("between 1 and 2 s", "at 1.5 s"),
        ("soon", "at 1.5 s"),
        ("A", "(B) red"),
        ("(A) red", "(B) red"),
        ("(B) blue", "(B) red"),
        ("blue", "(B) red"),
        ("", "(B) red"),
    ],
)
def test_wrong_answers(said: str, answer: str) -> None:
    assert not exact_match(said, answer)


def test_aliases_are_right_in_every_form() -> None:
    assert exact_match("Violet", "purple", ("violet",))
    assert exact_match("violet", "(C) purple", ("violet",))
    assert exact_match("(C) violet", "(C) purple", ("violet",))
    assert not exact_match("(A) violet", "(C) purple", ("violet",))
    assert not exact_match("pink", "purple", ("violet",))
