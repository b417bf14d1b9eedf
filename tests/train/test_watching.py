"""What a run shows while it goes on: speed, held-out answers, TensorBoard; its page at the end."""

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerControl, TrainerState

from tests.train.runs import assert_same, killed_at, losses, refusal, run, weights
from videollm.train.callbacks import METRICS_FILE, read_metrics
from videollm.train.held_out import ANSWERS_FILE
from videollm.train.progress import describe_record
from videollm.train.records import StepRecords
from videollm.train.stage_arguments import StageArguments
from videollm.train.summary import PLOT_FILE, SUMMARY_FILE, RunSummary, summary_page

QUESTIONS = 2
ASKING = [
    *("--answer_steps", "2", "--answer_questions", str(QUESTIONS)),
    *("--validation_clips", str(QUESTIONS), "--report_to", "tensorboard"),
]


@pytest.fixture(scope="module")
def options(tiny_llm: Path) -> list[str]:
    return ["--language_model", str(tiny_llm), "--max_steps", "3", "--dtype", "float32"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, options: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "<watched>"
    return run("instruct", "tiny_instruct", folder, *options, *ASKING)


def test_records_tell_speed_memory_and_the_time_left(watched: Path) -> None:
    records = [record for record in read_metrics(watched) if "loss" in record]
    assert len(records) == 3
    for record in records:
        assert record["samples_per_second"] > 0
        assert record["tokens_per_second"] > record["samples_per_second"]
        assert 0.05 < record["peak_memory_gib"] < 24
    assert records[0]["minutes_left"] > 0
    assert records[-1]["minutes_left"] == 0


def test_held_out_questions_are_asked_first_now_and_then_and_last(watched: Path) -> None:
    asked = StepRecords(watched / ANSWERS_FILE).read()
    assert [record["step"] for record in asked] == [0] * QUESTIONS + [2] * QUESTIONS + [
        3
    ] * QUESTIONS
    for place in range(QUESTIONS):
        rounds = asked[place::QUESTIONS]
        assert len({(record["question"], record["reference"]) for record in rounds}) == 1
    assert asked[0]["question"] != asked[1]["question"]
    assert all(isinstance(record["right"], bool) for record in asked)


def test_asking_changes_nothing_that_is_learnt(
    watched: Path, options: list[str], tmp_path: Path
) -> None:
    alone = run("instruct", "tiny_instruct", tmp_path, *options)
    assert losses(alone) == losses(watched)
    assert_same(weights(alone / "adapter"), weights(watched / "adapter"))
    assert not (alone / ANSWERS_FILE).exists()
    assert "Held-out" not in (alone / SUMMARY_FILE).read_text()


def test_answers_of_a_resumed_run_read_as_one(
    watched: Path, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "killed"
    killed_at(3, monkeypatch, "instruct", "tiny_instruct", folder, *options, *ASKING)
    run("instruct", "tiny_instruct", folder, *options, *ASKING)
    read = [StepRecords(path / ANSWERS_FILE).read() for path in (folder, watched)]
    assert read[0] == read[1]


def test_tensorboard_has_what_the_metrics_have(watched: Path) -> None:
    (folder,) = {path.parent for path in watched.rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folder)).Reload()
    written = [event.value for event in events.Scalars("train/loss")]
    assert written == pytest.approx(list(losses(watched).values()))
    assert {"train/tokens_per_second", "train/learning_rate"} <= set(events.Tags()["scalars"])


def test_the_page_shows_curves_settings_and_answers_as_text(watched: Path) -> None:
    assert (watched / PLOT_FILE).read_bytes().startswith(b"\x89PNG")
    page = (watched / SUMMARY_FILE).read_text()
    assert "&lt;watched&gt;" in page
    assert "<watched>" not in page
    assert StepRecords(watched / ANSWERS_FILE).read()[0]["question"] in page
    assert "<th>learning_rate<td>0.0002" in page
    assert 'src="loss.png"' in page


def test_what_a_model_says_is_no_html() -> None:
    said = {"step": 0, "question": "a<b?", "reference": "no", "answer": "<script>", "right": False}
    page = summary_page("run", {"lr": 0.1, "none": None}, [{"step": 1, "loss": 2.0}], [said])
    assert "<td>a&lt;b?<td>no" in page
    assert '<td class="wrong">&lt;script&gt;' in page
    assert "<th>loss<td>2" in page
    assert "<th>none" not in page


def test_a_record_is_one_line() -> None:
    logs = {"loss": 0.25, "epoch": 1.5, "samples_per_second": 12.0, "minutes_left": 4.0}
    line = describe_record(logs, step=7, max_steps=20)
    assert line == "step 7/20: loss 0.25, 12 samples/s, 4 min left"


def test_a_picture_needs_matplotlib_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / METRICS_FILE).write_text('{"step": 1, "loss": 1.0}\n')
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    args = StageArguments(output_dir=str(tmp_path))
    RunSummary({}).on_train_end(args, TrainerState(global_step=1), TrainerControl())
    assert "matplotlib is missing" in caplog.text
    assert not (tmp_path / PLOT_FILE).exists()
    assert (tmp_path / SUMMARY_FILE).exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--answer_steps", "1"], "answer_steps: there are no held-out samples"),
        (["--answer_steps", "-1"], "answer_steps: -1 given, 0 or more allowed"),
        (
            ["--answer_steps", "1", "--validation_clips", "3"],
            "answer_questions: 8 given, 3 held-out samples there: set validation_clips: 8",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(
    arguments: list[str],
    line: str,
    options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = refusal(capsys, "instruct", "tiny_instruct", tmp_path, *options, *arguments)
    assert line in told
