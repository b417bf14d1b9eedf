"""What the page is made of: transcripts, times, scores, a gauge; text from outside stays text."""

import json
from pathlib import Path

import pytest

from videollm.serve import markup
from videollm.serve.engine import Engine
from videollm.serve.jobs import Done
from videollm.serve.talk import Session
from videollm.serve.transcript import find_seconds, to_json, to_markdown
from videollm.serve.turns import Turn

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def session() -> Session:
    engine = Engine("demo", lambda: pytest.fail("not needed"))  # type: ignore[arg-type]
    done = Done(frames=4, visual_tokens=16, answer_tokens=3)
    about = (Path("x.mp4"), "[clip](x).mp4")
    turns = [
        Turn("what *moves*?", *about, f"a {SCRIPT} at 2.5s", "done", done=done),
        Turn("and?", *about, "a cir", "stopped", done=Done(stopped=True)),
    ]
    return Session(engine, title="[clip](x).mp4", turns=turns)


def test_a_talk_is_saved_as_it_was(session: Session) -> None:
    found = json.loads(to_json(session))
    assert (found["video"], found["model"]) == ("[clip](x).mp4", "demo")
    assert [turn["answer"] for turn in found["turns"]] == [f"a {SCRIPT} at 2.5s", "a cir"]
    assert found["turns"][0]["visual_tokens"] == 16
    assert "visual_tokens" not in found["turns"][1]
    text = to_markdown(session)
    assert text.startswith("# \\[clip\\](x).mp4\n")
    assert "<script>" not in text.replace("\\<", "")
    assert "**what \\*moves\\*?**" in text
    assert "a cir (stopped)" in text


def test_a_saved_talk_names_each_of_its_videos(session: Session) -> None:
    session.turns.append(Turn("here?", Path("y.mp4"), "y#.mp4", "no", "done"))
    session.title = "y#.mp4"
    text = to_markdown(session)
    assert text.startswith("# \\[clip\\](x).mp4\n")
    assert text.index("a cir") < text.index("## y\\#.mp4") < text.index("**here?**")
    videos = [turn["video"] for turn in json.loads(to_json(session))["turns"]]
    assert videos == ["[clip](x).mp4", "[clip](x).mp4", "y#.mp4"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("at 2.5s, then 12 s and 2.5s", [2.5, 12.0]),
        ("12 seconds in", [12.0]),
        ("3 shapes, 4 squares, v1.5s, 12345678s", []),
        ("", []),
    ],
)
def test_times_in_an_answer_are_found(text: str, seconds: list[float]) -> None:
    assert find_seconds(text) == seconds


def test_text_from_outside_is_text() -> None:
    from videollm.serve import markup_live

    pieces = [
        markup.header(SCRIPT, "ok", SCRIPT),
        markup.suggestion_chips([SCRIPT]),
        markup_live.change_list(
            {SCRIPT: 5.0}, [{"at_seconds": 1.0, "question": SCRIPT, "answer": SCRIPT}]
        ),
    ]
    assert all("<script" not in piece and "&lt;script" in piece for piece in pieces)


def test_the_scores_of_a_card_become_a_table() -> None:
    from videollm.serve.markup_model import score_table

    card = f"# A\n\n## Scores\n\nwords\n\n| a | b |\n|---|---|\n| **x** | {SCRIPT} |\n\n## More\n"
    table = score_table(card)
    assert "<th>a</th><th>b</th>" in table
    assert "<td>x</td>" in table
    assert "<script" not in table
    assert score_table("# A\n\nno scores\n") == ""
    two = score_table("# A\n\n## Scores\n\n| a |\n|---|\n| 1 |\n\nand\n\n| b |\n|---|\n| `2` |\n")
    assert two.count("<table") == 2
    assert "---" not in two
    assert "<th>b</th>" in two
    assert "<td>2</td>" in two
    demo = Path(__file__).parents[2] / "checkpoints" / "demo" / "README.md"
    assert "<td>all</td>" in score_table(demo.read_text())


def test_the_last_question_is_taken_back(session: Session) -> None:
    assert session.take_back() == "and?"
    assert [turn.question for turn in session.turns] == ["what *moves*?"]
    assert session.take_back() == "what *moves*?"
    assert session.take_back() == ""
