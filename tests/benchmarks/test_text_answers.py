"""Answers without video beside those from before the training."""

import json
from pathlib import Path

import pytest

from benchmarks import text_answers
from videollm.train.general_prompts import general_prompts


def test_prompts_are_fifty_and_never_trained() -> None:
    assert len(set(text_answers.PROMPTS)) == 50
    assert not set(text_answers.PROMPTS) & set(general_prompts())


@pytest.mark.parametrize(
    ("one", "other", "score"),
    [("A red kite.", "a red kite", 1.0), ("red", "blue", 0.0), ("a a b", "a b b", 2 / 3)],
)
def test_words_in_common(one: str, other: str, score: float) -> None:
    assert text_answers.overlap(one, other) == pytest.approx(score)


def test_circles_are_seen() -> None:
    assert text_answers.goes_round("and so on and on " * 4)
    assert text_answers.goes_round(" ... ")
    assert not text_answers.goes_round("Water is wet. " + " ".join(map(str, range(100))))


def test_the_demo_is_held_to_its_language_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_answers, "PROMPTS", ("What is the capital of Portugal?",))
    assert text_answers.main(["--output", str(tmp_path)]) in (0, 1)
    found = json.loads((tmp_path / "text_answers.json").read_text())
    assert found["ended_within_tokens"] == 1
    assert "Portugal" in found["examples"][0]["before"]
    assert 0 <= found["median_overlap"] <= 1
    assert found["median_nats_lost_per_token"] > 0
