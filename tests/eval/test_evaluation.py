"""Laws of a whole evaluation: resumed equals uninterrupted, rescored equals recorded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.eval.paint import FakeModel, PaintTask, Silence
from videollm.clip import Clip
from videollm.errors import DataError, RequestError
from videollm.eval.evaluation import evaluate, rescore_folder
from videollm.eval.predictions import read_predictions
from videollm.eval.settings import EvalSettings

FILES = ["predictions.jsonl", "report.html", "results.json", "settings.json", "timings.jsonl"]


Run = Callable[..., tuple[Path, dict[str, Any]]]


@pytest.fixture
def run(paint_settings: Callable[..., EvalSettings], silence: Silence) -> Run:
    """Return a function that evaluates a fake model into a folder."""

    def start(
        folder: Path | None,
        model: FakeModel | None = None,
        **changes: Any,  # noqa: ANN401 (any setting)
    ) -> tuple[Path, dict[str, Any]]:
        answerer: Any = model or FakeModel()
        return evaluate(
            paint_settings(**changes), folder, progress=silence, load=lambda _: answerer
        )

    return start


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_item_is_asked_under_every_condition(
    tmp_path: Path, run: Run, silence: Silence
) -> None:
    folder, results = run(tmp_path / "run")
    assert names_in(folder) == FILES
    predictions = read_predictions(folder / "predictions.jsonl")
    conditions = ["model", "blind", "single_frame", "shuffled", "majority"]
    assert len(predictions) == 10 * len(conditions) == silence.total == silence.done
    for condition in conditions:
        asked = [p.id for p in predictions if p.condition == condition]
        assert asked == [str(number) for number in range(10)]
    assert list(results["tasks"]["paint"]["conditions"]) == conditions
    seconds = {p.condition: len(p.frame_seconds) for p in predictions}
    assert seconds == dict(model=6, blind=0, single_frame=6, shuffled=6, majority=0)


def test_results_say_how_they_came_about(tmp_path: Path, run: Run) -> None:
    folder, results = run(tmp_path / "run", seed=3)
    written = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert written == {"format_version": 1, **results}
    assert results["settings"]["seed"] == 3
    assert results["settings"]["model"] == results["model"]["name"] == "demo"
    assert results["model"]["dtypes"] == {"0": "float32"}
    assert results["frames"] == {"num_frames": 6, "fps": None, "size": 4, "policy": "uniform"}
    assert results["tasks"]["paint"]["clips"] == {"source": "paint"}
    for name in ("config_sha256", "weights_sha256", "chat_sha256"):
        assert len(results["model"][name]) == 64
    assert len(results["tasks"]["paint"]["prompts_sha256"]) == 64
    assert results["environment"]["packages"]["torch"]
    assert results["timing"]["num_answered"] == 50
    assert results["timing"]["items_per_second"] > 0


@pytest.mark.parametrize("calls", range(12))
@pytest.mark.parametrize("cut_bytes", [0, 300])
def test_resumed_equals_uninterrupted(tmp_path: Path, run: Run, calls: int, cut_bytes: int) -> None:
    whole, _ = run(tmp_path / "whole")
    folder = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        run(folder, FakeModel(fail_at=calls))
    assert not (folder / "results.json").exists()
    log = folder / "predictions.jsonl"
    log.write_bytes(log.read_bytes()[: log.stat().st_size - cut_bytes or None])
    second = FakeModel()
    run(folder, second)
    assert log.read_bytes() == (whole / "predictions.jsonl").read_bytes()
    assert scores_of(folder) == scores_of(whole)
    assert len(second.calls) <= 12 - calls + bool(cut_bytes) * 2


def scores_of(folder: Path) -> dict:
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {name: value for name, value in results.items() if name != "timing"}


def test_a_finished_run_is_not_asked_again(tmp_path: Path, run: Run) -> None:
    folder, _ = run(tmp_path / "run")
    before = [(folder / name).read_bytes() for name in FILES]
    model = FakeModel()
    run(folder, model)
    assert model.calls == []
    assert [(folder / name).read_bytes() for name in FILES] == before


def test_rescoring_gives_the_recorded_score_to_the_byte(tmp_path: Path, run: Run) -> None:
    folder, results = run(tmp_path / "run")
    before = (folder / "results.json").read_bytes()
    assert rescore_folder(folder) == results
    assert (folder / "results.json").read_bytes() == before
    (folder / "results.json").unlink()
    assert rescore_folder(folder)["tasks"] == results["tasks"]


def test_rescoring_reads_outputs_and_not_verdicts(tmp_path: Path, run: Run) -> None:
    folder, results = run(tmp_path / "run")
    log = folder / "predictions.jsonl"
    log.write_text(log.read_text().replace('"correct": false', '"correct": true'))
    rescored = rescore_folder(folder)["tasks"]["paint"]
    recorded = results["tasks"]["paint"]
    assert rescored["conditions"] == recorded["conditions"]
    assert recorded["num_rejudged"] == 0
    wrong = [
        c["overall"]["num_items"] - c["overall"]["num_correct"]
        for c in recorded["conditions"].values()
    ]
    assert rescored["num_rejudged"] == sum(wrong) > 0


def test_an_unfinished_run_is_not_scored(tmp_path: Path, run: Run) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", FakeModel(fail_at=5))
    with pytest.raises(DataError, match="of 50 predictions; finish the run"):
        rescore_folder(tmp_path / "run")
    assert not (tmp_path / "run" / "results.json").exists()


def test_only_a_run_can_be_rescored(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no settings.json"):
        rescore_folder(tmp_path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed: 0 there, 1 now"),
        ({"limit": 9}, "limit: 10 there, 9 now"),
        ({"baselines": ()}, "baselines"),
        ({"num_frames": 4}, "num_frames: 6 there, 4 now"),
        ({"batch_size": 2}, "batch_size: 4 there, 2 now"),
        ({"split": "val"}, "split"),
    ],
)
def test_a_folder_belongs_to_its_settings(
    tmp_path: Path, run: Run, changes: dict, named: str
) -> None:
    folder, _ = run(tmp_path / "run")
    before = [(folder / name).read_bytes() for name in FILES]
    with pytest.raises(RequestError, match="belongs to other settings") as caught:
        run(folder, **changes)
    assert named in str(caught.value)
    assert [(folder / name).read_bytes() for name in FILES] == before


def test_a_folder_belongs_to_its_weights(tmp_path: Path, run: Run) -> None:
    folder, _ = run(tmp_path / "run")
    with pytest.raises(RequestError, match="weights_sha256"):
        run(folder, FakeModel(weight=1.5))


def test_going_on_in_another_environment_is_told(
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, _ = run(tmp_path / "run")
    run(folder)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    monkeypatch.setattr(
        "videollm.eval.evaluation.environment_report", lambda: {"packages": {"torch": "0.1"}}
    )
    run(folder)
    assert "torch: " in caplog.text
    assert '"0.1" now' in caplog.text


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, run: Run) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    model = FakeModel()
    with pytest.raises(RequestError, match="files that no evaluation wrote"):
        run(tmp_path, model)
    with pytest.raises(RequestError, match="is a file"):
        run(tmp_path / "thesis.txt", model)
    assert names_in(tmp_path) == ["thesis.txt"]
    assert model.calls == []


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="cannot be written"):
        run(tmp_path / "file" / "run")


def test_a_folder_of_another_format_is_refused(tmp_path: Path, run: Run) -> None:
    folder, _ = run(tmp_path / "run")
    path = folder / "settings.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(DataError, match="format_version is 9"):
        run(folder)
    path.write_text('{"format_version": 1, "settings": {}}')
    with pytest.raises(DataError, match="lacks conditions, tasks, environment"):
        rescore_folder(folder)
    path.write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        run(folder)


def test_without_a_folder_equal_runs_share_one(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, _ = run(None)
    again = FakeModel()
    second, _ = run(None, again)
    other, _ = run(None, seed=1)
    assert first == second != other
    assert again.calls == []
    assert first.parent == Path("runs/eval")
    assert first.name.startswith("demo-paint-test_iid-")


def test_a_clip_is_loaded_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten questions about four clips in batches of four: clips 1 and 2 span two batches."""
    loaded: list[str] = []
    load = PaintTask.load_clip

    def listen(task: PaintTask, video: str, *, num_frames: int, size: int) -> Clip:
        loaded.append(video)
        return load(task, video, num_frames=num_frames, size=size)

    monkeypatch.setattr(PaintTask, "load_clip", listen)
    run(tmp_path / "run")
    assert sorted(loaded[:4]) == ["clip0", "clip1", "clip2", "clip3"]


def test_families_are_filtered(tmp_path: Path, run: Run) -> None:
    folder, results = run(tmp_path / "run", families=("motion",))
    assert list(results["tasks"]["paint"]["conditions"]["model"]["families"]) == ["motion"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ("pain",)}, "unknown task 'pain'; did you mean paint"),
        ({"split": "test_idd"}, "unknown split of paint 'test_idd'; did you mean test_iid"),
        ({"families": ("motions",)}, "unknown family of paint 'motions'; did you mean motion"),
        ({"baselines": ("bilnd",)}, "unknown baseline 'bilnd'; did you mean blind"),
        ({"tasks": ()}, "names nothing"),
        ({"tasks": ("paint", "paint")}, "--tasks names paint twice"),
        ({"limit": 0}, "--limit 0 is too small; give at least 1"),
        ({"limit": -5}, "--limit -5 is too small"),
        ({"batch_size": 0}, "--batch-size 0 is too small"),
        ({"num_frames": 0}, "--num-frames 0 is too small"),
        ({"questions_per_video": 0}, "--questions-per-video 0 is too small"),
        ({"choice_fraction": 1.5}, "--choice-fraction 1.5 is no share; give 0 to 1"),
        ({"max_new_tokens": 0}, "--max-new-tokens 0 is too small"),
        ({"seed": -1}, "--seed -1 is too small"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    tmp_path: Path, run: Run, changes: dict, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        run(tmp_path / "run", **changes)
    assert list(tmp_path.iterdir()) == []
