"""Conversations: the answers of `VideoLLM.chat`, alone or together, and a stop for each."""

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_videollm
from videollm import VideoLLM
from videollm.clip import Clip
from videollm.conversation import Conversation, converse
from videollm.errors import RequestError
from videollm.generate import Generation
from videollm.prompting import build_messages


class Ear:
    """Hear an answer, and be satisfied after some tokens."""

    def __init__(self, max_tokens: int = 1000) -> None:
        self.pieces: list[str] = []
        self.tokens_left = max_tokens

    def add(self, text: str) -> None:
        self.pieces.append(text)

    def is_over(self) -> bool:
        self.tokens_left -= 1
        return self.tokens_left <= 0


@pytest.fixture(scope="module")
def model(tiny_llm: Path) -> VideoLLM:
    return VideoLLM(*tiny_videollm(tiny_llm), name="tiny")


def clip(num_frames: int, seed: int) -> Clip:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (num_frames, 3, 16, 16), generator=generator, dtype=torch.uint8)
    return Clip(frames=frames, pts_seconds=torch.arange(num_frames, dtype=torch.float64) / 4)


def ask(question: str, video: Clip | None = None, **options: float) -> Conversation:
    messages = build_messages(question, None, has_video=video is not None)
    clips = [] if video is None else [video]
    generation = Generation(**options)  # type: ignore[arg-type]
    return Conversation(messages=messages, clips=clips, generation=generation)


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 3, "top_p": 0.8}])
def test_one_conversation_is_a_chat(model: VideoLLM, options: dict[str, float]) -> None:
    video, ear = clip(3, 0), Ear()
    wanted = Generation(max_new_tokens=12, **options)  # type: ignore[arg-type]
    expected = model.stream_answer(video, "what?", generation=wanted)
    pieces = list(expected)
    [reply] = converse(model, [ask("what?", video, max_new_tokens=12, **options)], [ear])
    assert ear.pieces == pieces
    assert expected.answer is not None
    assert reply.answer.answer == expected.answer.answer
    assert reply.answer.frames == expected.answer.frames
    assert reply.answer.visual_tokens == expected.answer.visual_tokens > 0
    assert reply.prompt_tokens > reply.answer.visual_tokens


def test_together_is_one_by_one(model: VideoLLM) -> None:
    first = clip(2, 1)
    asked = [
        ask("one?", first, max_new_tokens=9),
        ask("a longer question without a video?", max_new_tokens=14),
        ask("three?", clip(5, 2), max_new_tokens=3),
        ask("four?", first, max_new_tokens=9),
    ]
    together = [Ear() for _ in asked]
    replies = converse(model, asked, together)
    alone = [Ear() for _ in asked]
    singles = [converse(model, [one], [ear])[0] for one, ear in zip(asked, alone, strict=True)]
    assert [ear.pieces for ear in together] == [ear.pieces for ear in alone]
    for reply, single in zip(replies, singles, strict=True):
        assert reply.answer.answer == single.answer.answer
        assert (reply.prompt_tokens, reply.answer_tokens, reply.is_cut) == (
            single.prompt_tokens,
            single.answer_tokens,
            single.is_cut,
        )


def test_two_videos_in_two_turns(model: VideoLLM) -> None:
    part = {"type": "video"}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [part, {"type": "text", "text": "one?"}]},
        {"role": "assistant", "content": "a circle"},
        {"role": "user", "content": [part, {"type": "text", "text": "and here?"}]},
    ]
    both = Conversation(messages=messages, clips=[clip(2, 1), clip(3, 2)])
    [reply] = converse(model, [both], [Ear()])
    assert reply.answer.visual_tokens == (2 + 3) * 4
    seconds = [frame["seconds"] for frame in reply.answer.frames]
    assert seconds == [0.0, 0.25, 0.0, 0.25, 0.5]


def test_a_listener_who_has_enough_stops_its_own_answer_alone(model: VideoLLM) -> None:
    asked = [ask("one?", max_new_tokens=20), ask("two?", max_new_tokens=20)]
    ears = [Ear(max_tokens=7), Ear()]
    first, second = converse(model, asked, ears)
    [whole] = converse(model, asked[1:], [Ear()])
    assert first.answer_tokens == 7
    assert not first.is_cut
    assert second.answer.answer == whole.answer.answer
    assert second.is_cut
    assert second.answer_tokens == 20


def test_a_prompt_beyond_the_context_is_refused_with_numbers(
    model: VideoLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.config.text, "max_position_embeddings", 64)
    with pytest.raises(RequestError, match=r"prompt has \d+ tokens, 64 of them visual.*reads 64"):
        converse(model, [ask("what?", clip(16, 0))], [Ear()])


@pytest.mark.parametrize("top_p", [0.0, 1.5])
def test_a_share_of_tokens_that_makes_no_sense_is_refused(top_p: float) -> None:
    with pytest.raises(RequestError, match="top_p is"):
        Generation(top_p=top_p)
