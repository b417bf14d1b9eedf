"""Scores of a classifier by hand, the mean over views, and balanced shares of the labels."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import EvalPrediction

from tests.tiny import tiny_encoder
from videollm.encoder import VideoMAPForVideoClassification
from videollm.errors import DataError
from videollm.train.classify import AveragedViews
from videollm.train.classify_data import UNREADABLE, balanced_share
from videollm.train.classify_results import classification_scores, trainer_metrics, write_results

CLASSES = tuple("abcdefg")


def table() -> tuple[np.ndarray, np.ndarray]:
    """Return logits whose order of classes is 0, 1, 2, ... in every row, and labels."""
    return np.tile(-np.arange(7.0), (6, 1)), np.array([0, 0, 0, 1, 5, 6])


def test_scores_by_hand() -> None:
    scores = classification_scores(*table())
    assert scores == {
        "top1": pytest.approx(3 / 6),
        "top5": pytest.approx(4 / 6),
        "mean_class": pytest.approx(1 / 4),
    }
    assert "top5" not in classification_scores(np.eye(5), np.arange(5))


def test_what_could_not_be_read_is_in_no_score(tmp_path: Path) -> None:
    logits, labels = table()
    bare = classification_scores(logits, labels)
    logits = np.concatenate([logits, np.zeros((2, 7))])
    labels = np.concatenate([labels, [UNREADABLE, UNREADABLE]])
    assert trainer_metrics(EvalPrediction(logits, labels)) == bare
    names = [f"v{index}" for index in range(8)]
    told = write_results(
        *(tmp_path,), logits=logits, labels=labels, names=names, classes=CLASSES, settings={}
    )
    assert told["scores"] == bare
    assert told["unreadable"] == ["v6", "v7"]
    assert told["per_class"]["a"] == {"videos": 3, "right": 3}
    assert told["per_class"]["c"] == {"videos": 0, "right": 0}
    assert json.loads((tmp_path / "results.json").read_text())["scores"] == bare
    with pytest.raises(DataError, match="none of 2 videos could be read"):
        write_results(
            *(tmp_path,),
            logits=logits[6:],
            labels=labels[6:],
            names=names[6:],
            classes=CLASSES,
            settings={},
        )
    assert trainer_metrics(EvalPrediction(logits[6:], labels[6:])) == {}


def test_views_are_averaged_as_probabilities() -> None:
    config = tiny_encoder()
    config.id2label = {0: "a", 1: "b", 2: "c"}
    model = VideoMAPForVideoClassification(config).eval()
    views = torch.randn(2, 3, 4, 3, 16, 16)
    with torch.no_grad():
        found = AveragedViews(model)(views, torch.tensor([2, 0]))
        alone = torch.stack([model(views[:, index]).logits.softmax(-1) for index in range(3)])
    torch.testing.assert_close(found.logits.exp(), alone.mean(0))
    assert found.loss == pytest.approx(float(-(found.logits[0, 2] + found.logits[1, 0]) / 2))


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    shares=st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 1.0)),
    seed=st.integers(0, 5),
)
def test_a_share_is_balanced_and_a_smaller_one_is_part_of_it(
    labels: list[int], shares: tuple[float, float], seed: int
) -> None:
    small, large = (balanced_share(labels, share, seed) for share in sorted(shares))
    assert set(small) <= set(large)
    assert large == sorted(set(large))
    there, taken = Counter(labels), Counter(labels[index] for index in large)
    assert taken == {name: max(1, round(max(shares) * count)) for name, count in there.items()}
    assert balanced_share(labels, 1.0, seed) == list(range(len(labels)))
