"""The card's tables: what was measured, and how far it is from what was aimed for."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks import demo_card
from videollm.eval.conditions import Reply
from videollm.eval.predictions import Prediction
from videollm.eval.results import score_task
from videollm.eval.settings import EvalSettings
from videollm.eval.toyworld import SHAPES_SPEC


def write_run(folder: Path, rights: dict[str, int], families: Sequence[str] = ("colour",)) -> None:
    """Write results of ten items, of which each condition has so many right."""
    settings = EvalSettings(tasks=("shapeworld",), limit=10, families=tuple(families))
    predictions = []
    for condition, right in rights.items():
        for number, example in enumerate(SHAPES_SPEC.build(settings).examples):
            output = example.answer if number < right else "a teapot"
            predictions.append(
                Prediction.of(
                    example,
                    Reply(output, ()),
                    SHAPES_SPEC.score(output, example),
                    task="shapeworld",
                    condition=condition,
                )
            )
    folder.mkdir(parents=True)
    results = {"tasks": {"shapeworld": score_task(predictions, seed=0)}}
    (folder / "results.json").write_text(json.dumps(results))


def test_aims_hold_or_tell_what_is_short(tmp_path: Path) -> None:
    write_run(tmp_path / "iid", {"model": 9, "blind": 3})
    write_run(tmp_path / "paraphrase", {"model": 8})
    write_run(tmp_path / "captions", {"model": 10}, ("caption",))
    page = tmp_path / "card.md"
    page.write_text("# A card\n\n<!-- aims -->\nstale\n<!-- end of aims -->\n\nIts end.\n")
    assert demo_card.main([str(tmp_path), str(page)]) == 1
    text = page.read_text()
    assert "stale" not in text
    assert "Its end." in text
    assert "| colour | 10 | 90.0 |" in text
    assert "| `test_iid`, all | 85 | 90.0 | yes |" in text
    assert "| `test_iid`, colour | 92 | 90.0 | no, 2.0 short |" in text
    assert "| `test_paraphrase` minus `test_iid` | -8 | -10.0 | no, 2.0 short |" in text
    assert "| above blind | 40 | 60.0 | yes |" in text
    assert "| `test_long_60` | 70 | - | not measured |" in text
    assert "| captions | 10 | 10 | 100.0 | 100.0 to 100.0 | - | - |" in text


def test_a_folder_without_the_first_run_is_refused(tmp_path: Path) -> None:
    assert demo_card.main([str(tmp_path), str(tmp_path / "card.md")]) == 2
    assert list(tmp_path.iterdir()) == []
