"""Questions about one video are answered together as they are alone, and the video is read once."""

import pytest
import torch

from tests.videollm.test_api import clip, folder, model  # noqa: F401 - fixtures
from videollm import VideoLLM
from videollm.shared_prefix import common_length

VIDEO = 9
QUESTIONS = ["What?", "Who is there?", "When does it go, and where to, and why?", "How many?"]


def rows(*ids: list[int]) -> list[torch.Tensor]:
    return [torch.tensor(row) for row in ids]


@pytest.mark.parametrize(
    ("ids", "length"),
    [
        (rows([1, VIDEO, 2, 3], [1, VIDEO, 2, 4, 5]), 3),
        (rows([1, VIDEO, 2, 3], [1, VIDEO, 2, 3]), 3),
        (rows([1, VIDEO, 2], [1, VIDEO, 2, 3]), 2),
        (rows([1, 2, VIDEO, 3], [1, 4, VIDEO, 3]), 0),
        (rows([1, VIDEO], [1, VIDEO]), 0),
        (rows([1, VIDEO, 2], [3, VIDEO, 2]), 0),
    ],
)
def test_a_prefix_holds_all_videos_and_leaves_a_token(ids: list[torch.Tensor], length: int) -> None:
    assert common_length(ids, VIDEO) == length


def test_answers_about_one_video_are_those_of_each_alone(
    model: VideoLLM,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared, other = clip(0, 9), clip(1, 3)
    videos = [shared, other, shared, None, shared, shared]
    questions = [QUESTIONS[0], "Why?", *QUESTIONS[1:2], "Who are you?", *QUESTIONS[2:]]
    expected = [
        model.ask(video, question, max_new_tokens=6).answer
        for video, question in zip(videos, questions, strict=True)
    ]
    visual: list[int] = []
    project = model.model.project

    def counted(features: torch.Tensor, tokens_per_frame: int | None = None) -> torch.Tensor:
        visual.append(len(features))
        return project(features, tokens_per_frame)

    monkeypatch.setattr(model.model, "project", counted)
    assert model.batch(videos, questions, max_new_tokens=6) == expected
    assert len(visual) == 2, "the shared video goes into the language model once, the other too"
    once = sum(len(model.encode(item)) for item in (shared, other))
    assert sum(visual) == once
