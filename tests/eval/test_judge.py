"""A judge is asked once, again when it fails, and never guessed for."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.eval.paint import FakeModel, Silence
from videollm.errors import RequestError
from videollm.eval.evaluation import evaluate, rescore_folder
from videollm.eval.judge import MAX_ATTEMPTS, HttpJudge, build_judge
from videollm.eval.judge_prompts import JUDGE_PROMPTS
from videollm.eval.settings import EvalSettings, RunOptions
from videollm.eval.task import Example
from videollm.toyworld import make_scene, render_frames, write_clip


class Server:
    """An endpoint that says what it is told to say, and remembers what it was asked."""

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.default: Any = '{"pred": "yes", "score": 4}'
        self.delay_seconds = 0.0
        self.asked: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append({"path": self.path, **json.loads(body)})
                if outer.delay_seconds:
                    time.sleep(outer.delay_seconds)
                reply = outer.replies.pop(0) if outer.replies else outer.default
                status = reply if isinstance(reply, int) else 200
                message = {"choices": [{"message": {"content": reply}}]}
                with contextlib.suppress(BrokenPipeError):  # who asked may have gone
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(json.dumps(message).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("videollm.eval.judge._PARALLEL", 1)
    running = Server()
    yield running
    running.close()


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    write_clip(
        render_frames(make_scene("test_iid", 0, 0), size=32, num_frames=8),
        tmp_path / "v.mp4",
        fps=4,
    )
    lines = [{"video": "v.mp4", "question": f"What {n}?", "answer": "red"} for n in range(4)]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run(questions: Path, folder: Path, **options: Any) -> dict:  # noqa: ANN401 (any option)
    model: Any = FakeModel()
    settings = EvalSettings(tasks=(str(questions),), baselines=())
    chosen = RunOptions(**options)
    _, results = evaluate(
        settings, folder, progress=Silence(), load=lambda _: model, options=chosen
    )
    assert results is not None
    return results


def overall(results: dict) -> dict:
    return results["tasks"]["mine"]["conditions"]["model"]["overall"]


def test_verdicts_are_scores_and_their_wording_is_recorded(
    tmp_path: Path, questions: Path, server: Server
) -> None:
    server.default = 'Sure: {"pred": "yes", "score": 4}'
    results = run(questions, tmp_path / "run", judge=server.url, judge_model="m")
    assert overall(results)["accuracy"] == 1.0
    assert overall(results)["measures"]["judge_score"]["mean"] == 4.0
    assert results["judge"]["name"] == f"{server.url} m"
    assert results["judge"]["prompts"]["open_answer"] == JUDGE_PROMPTS["open_answer"].template
    assert {one["path"] for one in server.asked} == {"/v1/chat/completions"}
    assert {(one["model"], one["temperature"]) for one in server.asked} == {("m", 0)}
    count = len(server.asked)
    assert count == 4
    assert run(questions, tmp_path / "run", judge=server.url, judge_model="m") == results
    assert rescore_folder(tmp_path / "run") == results
    assert len(server.asked) == count, "what was judged is not judged again"


def test_a_judge_that_fails_is_asked_again_then_the_item_is_marked(
    tmp_path: Path, questions: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("videollm.eval.judge.time.sleep", waits.append)
    server.replies = [500, "no idea", '{"pred": "no", "score": 0}']
    server.default = 503
    results = run(questions, tmp_path / "run", judge=server.url, judge_model="m")
    values = overall(results)
    assert values["num_unjudged"] == 3
    assert values["accuracy"] == 0.0
    assert len(server.asked) == 3 + 3 * MAX_ATTEMPTS
    assert waits[:2] == [1.0, 2.0]
    server.default = '{"pred": "yes", "score": 5}'
    later = overall(run(questions, tmp_path / "run", judge=server.url, judge_model="m"))
    assert (later["num_unjudged"], later["accuracy"]) == (0, 3 / 4)


def test_a_recorded_run_can_be_judged_later(
    tmp_path: Path, questions: Path, server: Server
) -> None:
    assert run(questions, tmp_path / "run")["judge"] is None
    options = RunOptions(judge=server.url, judge_model="m")
    assert overall(rescore_folder(tmp_path / "run", options))["accuracy"] == 1.0


def test_a_judge_that_is_too_slow_is_no_answer(server: Server) -> None:
    server.delay_seconds = 0.3
    with pytest.raises(OSError, match="timed out"):
        HttpJudge(server.url, "m", timeout_seconds=0.05).ask("?")


def test_a_refused_key_ends_the_run(server: Server) -> None:
    server.default = 401
    with pytest.raises(RequestError, match="answers 401 .*OPENAI_API_KEY"):
        HttpJudge(server.url, "m").ask("?")


def test_the_model_may_judge_itself() -> None:
    judge = build_judge(RunOptions(judge="self"), FakeModel())
    assert judge is not None
    assert judge.ask("?").startswith("The ")
    with pytest.raises(RequestError, match="--judge self needs the model"):
        build_judge(RunOptions(judge="self"), None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"judge": "gpt"}, "--judge gpt is no address"),
        ({"judge": "http://x/v1"}, "--judge needs --judge-model"),
        ({"judge": "self", "judge_seconds": 0}, "--judge-seconds 0 must be above 0"),
        ({"max_failed": 2}, "--max-failed 2 is no share"),
        ({"decode_workers": 0}, "--decode-workers 0 is too small"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        RunOptions(**options)


def test_a_task_without_other_scores_needs_its_judge(tmp_path: Path) -> None:
    settings = EvalSettings(tasks=("tempcompass_captioning",))
    with pytest.raises(RequestError, match="is scored by a judge; name one with --judge"):
        evaluate(settings, tmp_path / "run", progress=Silence())


@pytest.mark.parametrize(
    ("reply", "correct"),
    [("(B)", True), ("The answer is A.", False), ("none", False), ("B or A", None), ("", None)],
)
def test_captions_are_judged_by_the_choice_they_lead_to(reply: str, correct: bool | None) -> None:
    example = Example(
        id="0", family="f", video="v", question="Describe.", answer="(B) sits",
        choices=("(A) runs", "(B) sits"), reference="What does it do?",
    )  # fmt: skip
    prompt = JUDGE_PROMPTS["caption_choice"]
    assert "What does it do?" in prompt.render(example, "It sits.")
    verdict = prompt.read(reply, example)
    assert (verdict.correct if verdict else None) == correct
