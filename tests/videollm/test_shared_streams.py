"""Sessions that are given the same tokens: encoded once, each as if it had watched alone."""

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_videollm
from videollm import VideoLLM
from videollm.clip import Clip
from videollm.errors import RequestError

QUESTION = "What?"


@pytest.fixture(scope="module")
def model(tiny_llm: Path) -> VideoLLM:
    return VideoLLM(*tiny_videollm(tiny_llm, tubelet_size=2), name="tiny")


def clip(frames: int) -> Clip:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (frames, 3, 16, 16), generator=generator, dtype=torch.uint8)
    return Clip(frames=pixels, pts_seconds=torch.arange(frames, dtype=torch.float64) / 2)


def test_sessions_that_share_what_is_encoded_are_as_if_alone(model: VideoLLM) -> None:
    own, policies = clip(41), ("merge", "fifo", "retrieve")
    first, *others = (
        model.stream(budget_tokens=24, recent_frames=2, policy=policy) for policy in policies
    )
    for start in range(0, 41, 7):
        part = slice(start, start + 7)
        first.push(own.frames[part], own.pts_seconds[part], others=others)
    for session, policy in zip((first, *others), policies, strict=True):
        alone = model.stream(budget_tokens=24, recent_frames=2, policy=policy)
        alone.push(own.frames, own.pts_seconds)
        assert session.answer(QUESTION).answer == alone.answer(QUESTION).answer
        assert session.stats().frames_seen == 41
    with pytest.raises(RequestError, match="push to all of them together from the beginning"):
        first.push(own.frames[:1], [99.0], others=[model.stream()])
    with pytest.raises(RequestError, match="have seen the same frames"):
        first.push(own.frames[:1], [99.0], others=[first])
    assert first.stats().frames_seen == 41
