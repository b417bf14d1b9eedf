"""Counting honest sentences: about what is not known, and about what is."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import honest_sentence
from tests.videollm.drawn import draw_video, numbered_frames
from videollm.clip import Clip
from videollm.sampling import load_clip
from videollm.shapeworld.foreign import FOREIGN_ANSWER


class Humble:
    """Deny everything, or nothing."""

    processor = SimpleNamespace(num_frames=4)

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def load(self, path: Path) -> Clip:
        return load_clip(path, num_frames=4)

    def batch(self, videos: list[Clip], questions: list[str]) -> list[str]:
        assert len(videos) == len(questions)
        return [self.answer] * len(questions)


@pytest.mark.parametrize(("answer", "share"), [(FOREIGN_ANSWER, 1.0), ("red", 0.0)])
def test_shares_are_counted(tmp_path: Path, answer: str, share: float) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "clip.mp4").write_bytes(draw_video(numbered_frames(8)))
    (tmp_path / "notes.txt").write_text("no video")
    videos = honest_sentence.ask_videos(Humble(answer), tmp_path)
    assert (videos["answers"], videos["unreadable"], videos["honest"]) == (2, 1, share)
    toys = honest_sentence.ask_toys(Humble(answer), 3)
    assert (toys["answers"], toys["honest"]) == (3, share)


def test_only_the_opening_counts() -> None:
    assert honest_sentence.is_honest("This does not look like the scenes I was trained on.")
    assert not honest_sentence.is_honest("The circle does not look like a square.")
