"""The terminal chat: who said what, slash commands, streaming and stopping."""

from collections.abc import Iterator
from typing import Any

import pytest

from videollm import cli_chat
from videollm.cli_chat import TerminalChat
from videollm.errors import RequestError, VideoError


class Parrot:
    """Answers "<video> <question>" word by word, and notes the history it was given."""

    def __init__(self) -> None:
        self.histories: list[list[dict[str, str]]] = []
        self.options: dict[str, Any] = {}
        self.closed = 0

    def chat(
        self, video: str, question: str, history: list[dict[str, str]], **options: Any
    ) -> Iterator[str]:
        assert options.pop("stream") is True
        self.options = options
        self.histories.append([dict(turn) for turn in history])
        if question == "refuse":
            raise RequestError("not that\n question")
        return self._pieces(f"{video} {question}")

    def _pieces(self, text: str) -> Iterator[str]:
        try:
            for word in text.split():
                if word == "interrupt":
                    raise KeyboardInterrupt
                yield word + " "
        finally:
            self.closed += 1


def _check(path: str) -> None:
    if path == "bad.mp4":
        raise VideoError(path, "no such file", "check the path")


def _talk(*lines: str, video: str | None = "a.mp4") -> Parrot:
    parrot = Parrot()
    chat = TerminalChat(
        parrot,  # type: ignore[arg-type]
        video=video,
        options={"num_frames": 4},
        check_video=_check,
    )
    chat.run(lines)
    return parrot


def test_answers_are_streamed_and_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    parrot = _talk("one", "two")
    assert capsys.readouterr().out == "a.mp4 one \na.mp4 two \n"
    first = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "a.mp4 one"},
    ]
    assert parrot.histories == [[], first]
    assert parrot.options == {"num_frames": 4}
    assert parrot.closed == 2


def test_reset_forgets_and_another_video_starts_afresh() -> None:
    parrot = _talk("one", "/reset", "two", "/video 'b c.mp4'", "three")
    assert parrot.histories == [[], [], []]


def test_video_command_changes_what_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    _talk("too early", "/video b.mp4", "now", video=None)
    captured = capsys.readouterr()
    assert captured.out == "b.mp4 now \n"
    assert "no video yet: /video PATH chooses one" in captured.err


def test_bad_video_keeps_the_old_one_and_the_talk(capsys: pytest.CaptureFixture[str]) -> None:
    parrot = _talk("one", "/video bad.mp4", "two")
    captured = capsys.readouterr()
    assert captured.out == "a.mp4 one \na.mp4 two \n"
    assert "error: bad.mp4: no such file; check the path\n" in captured.err
    assert len(parrot.histories[1]) == 2


def test_refused_question_is_one_line_and_not_remembered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parrot = _talk("refuse", "two")
    captured = capsys.readouterr()
    assert "error: not that question\n" in captured.err
    assert parrot.histories == [[], []]
    assert captured.out == "a.mp4 two \n"


def test_interruption_stops_the_answer_but_not_the_chat(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parrot = _talk("before interrupt after", "two")
    captured = capsys.readouterr()
    assert captured.out == "a.mp4 before \na.mp4 two \n"
    assert "(stopped)" in captured.err
    assert parrot.histories[1][1] == {"role": "assistant", "content": "a.mp4 before"}


@pytest.mark.parametrize("word", ["/quit", "/exit"])
def test_quit_ends_at_once(word: str) -> None:
    assert _talk("", "   ", "one", word, "two").histories == [[]]


@pytest.mark.parametrize("word", ["/help", "/video", "/nonsense x"])
def test_other_commands_show_the_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _talk(word).histories == []
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("/reset forgets") == 2


def test_lines_end_with_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["one", "two"])

    def read(prompt: str) -> str:
        assert prompt == "", "no prompt where nobody types"
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert list(cli_chat.read_lines()) == ["one", "two"]
