"""What the processor writes into the prompt, and what it makes of frames."""

from pathlib import Path

import pytest
import torch

from videollm.clip import Clip
from videollm.config import VIDEO_TOKEN
from videollm.errors import RequestError
from videollm.llm import load_tokenizer
from videollm.processor import VideoLLMProcessor
from videollm.prompting import build_messages


@pytest.fixture
def processor(tiny_llm: Path) -> VideoLLMProcessor:
    return VideoLLMProcessor(
        load_tokenizer(str(tiny_llm)), image_size=16, tubelet_size=2, tokens_per_frame=4
    )


def clip(frames: int, *, step: float = 0.5) -> Clip:
    pixels = torch.randint(0, 256, (frames, 3, 10, 14), dtype=torch.uint8)
    return Clip(frames=pixels, pts_seconds=torch.arange(frames, dtype=torch.float64) * step)


def test_times_stand_between_the_frames(processor: VideoLLMProcessor) -> None:
    four = VIDEO_TOKEN * 4
    assert processor.video_text(clip(10)) == f"0.0s:{four}{four}2.0s:{four}{four}4.0s:{four}"
    processor.time_stride = 0
    assert processor.video_text(clip(4)) == four * 2


def test_one_token_for_each_placeholder(processor: VideoLLMProcessor) -> None:
    messages = build_messages("What?", None, has_video=True)
    own = clip(8)
    inputs = processor(processor.render(messages, [own]), [own])
    assert int((inputs["input_ids"] == processor.video_token_id).sum()) == 4 * 4
    assert inputs["pixel_values"].shape == (1, 8, 3, 16, 16)
    assert inputs["frame_seconds"].tolist() == [[0.5 * frame for frame in range(8)]]


def test_the_video_stands_in_the_first_turn(processor: VideoLLMProcessor) -> None:
    history = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Yes."}]
    text = processor.render(build_messages("Two?", history, has_video=True), [clip(2)])
    assert text.index(VIDEO_TOKEN) < text.index("One?") < text.index("Yes.") < text.index("Two?")
    assert text.startswith("<|im_start|>system\n" + processor.system_prompt)


def test_a_system_message_of_ones_own_replaces_ours(processor: VideoLLMProcessor) -> None:
    text = processor.render(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    )
    assert processor.system_prompt not in text
    assert "Be brief." in text


def test_odd_clips_repeat_their_last_frame(processor: VideoLLMProcessor) -> None:
    fitted = processor.fit(clip(3))
    assert fitted.num_frames == 4
    assert torch.equal(fitted.frames[3], fitted.frames[2])
    assert fitted.pts_seconds.tolist() == [0.0, 0.5, 1.0, 1.0]


def test_unequal_clips_are_padded_and_counted(processor: VideoLLMProcessor) -> None:
    pixels = processor.pixels([clip(4), clip(6)])
    assert pixels["frame_counts"].tolist() == [4, 6]
    assert pixels["pixel_values"].shape[:2] == (2, 6)
    assert pixels["frame_seconds"][0, 4:].tolist() == [-1.0, -1.0]


def test_save_and_load_is_identity(processor: VideoLLMProcessor, tmp_path: Path) -> None:
    processor.system_prompt = "Look closely."
    processor.save_pretrained(tmp_path)
    loaded = VideoLLMProcessor.from_pretrained(tmp_path)
    own = clip(4)
    messages = build_messages("What?", None, has_video=True)
    assert loaded.render(messages, [own]) == processor.render(messages, [own])
    assert loaded.video_token_id == processor.video_token_id
    for name, value in processor.pixels([own]).items():
        assert torch.equal(loaded.pixels([own])[name], value)


def test_videos_and_parts_must_agree(processor: VideoLLMProcessor) -> None:
    with pytest.raises(RequestError, match="hold 1 videos, 0 clips"):
        processor.render(build_messages("What?", None, has_video=True), [])


def test_a_question_cannot_smuggle_placeholders(processor: VideoLLMProcessor) -> None:
    with pytest.raises(RequestError, match="stands for video frames"):
        processor.render(build_messages(f"a {VIDEO_TOKEN} b", None, has_video=False))


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(RequestError, match="question is empty"):
        build_messages(question, None, has_video=False)


def test_turns_must_alternate() -> None:
    with pytest.raises(RequestError, match="turn 1 of the history has role 'user'"):
        build_messages("Two?", [{"role": "user", "content": "One?"}], has_video=False)
