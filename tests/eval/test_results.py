"""Scores computed by hand, and the laws between them."""

import pytest

from videollm.eval.open_ended import score_open_answer
from videollm.eval.predictions import Prediction
from videollm.eval.report import build_table, summarise
from videollm.eval.results import compare_conditions, rescore, score_condition, score_task
from videollm.eval.task import Example


def predict(number: int, right: bool, **changes: object) -> Prediction:
    values = {
        "task": "paint",
        "condition": "model",
        "id": str(number),
        "family": ("colour", "motion")[number % 2],
        "video": f"clip{number // 2}",
        "question": "Which?",
        "choices": (),
        "answer": "blue",
        "aliases": (),
        "output": "blue" if right else "red",
        "parsed": "blue" if right else "red",
        "correct": right,
        "frame_seconds": (),
    }
    return Prediction(**{**values, **changes})


MODEL = [predict(number, number != 3) for number in range(8)]
BLIND = [predict(number, number < 2, condition="blind") for number in range(8)]


def test_accuracies_are_those_one_counts_by_hand() -> None:
    scores = score_task([*MODEL, *BLIND], seed=0)
    model, blind = scores["conditions"]["model"], scores["conditions"]["blind"]
    assert model["overall"]["accuracy"] == 7 / 8
    assert model["families"]["colour"]["accuracy"] == 1.0
    assert model["families"]["motion"]["accuracy"] == 3 / 4
    assert blind["overall"]["num_correct"] == 2
    assert scores["num_items"] == 8
    assert scores["num_videos"] == 4
    assert scores["differences"]["blind"]["overall"]["difference"] == 5 / 8
    assert scores["differences"]["blind"]["families"]["motion"]["difference"] == 2 / 4


def test_every_interval_holds_its_estimate() -> None:
    scores = score_task([*MODEL, *BLIND], seed=3)
    for condition in scores["conditions"].values():
        for values in (condition["overall"], *condition["families"].values()):
            low, high = values["interval"]
            assert 0 <= low <= values["accuracy"] <= high <= 1
    for gains in scores["differences"].values():
        for values in (gains["overall"], *gains["families"].values()):
            low, high = values["interval"]
            assert -1 <= low <= values["difference"] <= high <= 1


def test_families_add_up_to_the_whole() -> None:
    model = score_task(MODEL, seed=0)["conditions"]["model"]
    for count in ("num_items", "num_correct", "num_unparsable"):
        assert (
            sum(values[count] for values in model["families"].values()) == model["overall"][count]
        )


def test_the_order_of_predictions_of_two_conditions_does_not_matter() -> None:
    one = score_task([*MODEL, *BLIND], seed=0)
    mixed = [item for pair in zip(MODEL, BLIND, strict=True) for item in pair]
    assert score_task(mixed, seed=0) == one


def test_a_difference_pairs_items_and_not_positions() -> None:
    gain = compare_conditions(MODEL, BLIND[::-1], seed=0)
    assert gain == compare_conditions(MODEL, BLIND, seed=0)
    assert compare_conditions(MODEL, MODEL, seed=0) == {"difference": 0.0, "interval": [0.0, 0.0]}


def test_unparsable_answers_are_counted_and_wrong() -> None:
    mute = [predict(0, True), predict(1, False, output="", parsed=None)]
    values = score_condition(mute, seed=0)
    assert values["num_unparsable"] == 1
    assert values["accuracy"] == 0.5


def test_rescoring_judges_the_output_and_not_the_record() -> None:
    forged = predict(0, False, correct=True, parsed="blue")
    assert [prediction.correct for prediction in rescore([forged], score_open_answer)] == [False]
    assert rescore(MODEL, score_open_answer) == MODEL


@pytest.mark.parametrize(
    ("output", "parsed", "correct"),
    [
        ("Blue.", True, True),
        ("navy", True, True),
        ("red", True, False),
        ("", False, False),
        (" .\n", False, False),
    ],
)
def test_open_answers(output: str, parsed: bool, correct: bool) -> None:
    example = Example(
        id="0",
        family="colour",
        video="clip0",
        question="Which?",
        answer="blue",
        aliases=("navy",),
    )
    score = score_open_answer(output, example)
    assert (score.parsed is not None) == parsed
    assert score.correct == correct


@pytest.mark.parametrize(
    ("output", "parsed", "correct"),
    [
        ("(B) red", "(B) red", True),
        ("B", "(B) red", True),
        ("red", "(B) red", True),
        ("crimson", "(B) red", True),
        ("(A)", "(A) blue", False),
        ("blue", "(A) blue", False),
        ("(A) red", None, False),
        ("green", None, False),
        ("", None, False),
    ],
)
def test_choices(output: str, parsed: str | None, correct: bool) -> None:
    example = Example(
        id="0",
        family="colour",
        video="clip0",
        question="Which?\n(A) blue\n(B) red",
        answer="(B) red",
        aliases=("crimson",),
        choices=("(A) blue", "(B) red"),
    )
    score = score_open_answer(output, example)
    assert (score.parsed, score.correct) == (parsed, correct)


def test_the_summary_names_score_interval_and_gains() -> None:
    line = summarise("paint val", score_task([*MODEL, *BLIND], seed=0))
    assert line.startswith("paint val: 87.5 % of 8 right (95 % interval ")
    assert "+62.5 points over blind (+50.0 on motion)" in line
    assert "\n" not in line


def test_the_table_has_a_row_per_family_and_a_column_per_condition() -> None:
    table = build_table("paint val", score_task([*MODEL, *BLIND], seed=0))
    assert [column.header for column in table.columns] == ["family", "items", "model", "blind"]
    assert list(table.columns[0].cells) == [
        "colour",
        "motion",
        "overall",
        "95 % interval",
    ]
    assert list(table.columns[2].cells)[:2] == ["100.0", "75.0"]


def test_the_table_tells_of_unparsable_answers() -> None:
    mute = [predict(0, True), predict(1, False, output="", parsed=None)]
    table = build_table("paint val", score_task(mute, seed=0))
    assert list(table.columns[0].cells)[-1] == "unparsable"
    assert list(table.columns[2].cells)[-1] == "1"
