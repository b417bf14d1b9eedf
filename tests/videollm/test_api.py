"""VideoLLM: the same answers by every way of asking, and clear refusals."""

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_videollm
from videollm import VideoLLM
from videollm.clip import Clip
from videollm.errors import ModelError, RequestError
from videollm.generate import Generation
from videollm.lora import LoraShape, attach_lora
from videollm.model import VideoLLMForConditionalGeneration


@pytest.fixture(scope="module")
def folder(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, processor = tiny_videollm(tiny_llm)
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> VideoLLM:
    return VideoLLM.from_pretrained(folder, device="cpu", dtype="float32")


def clip(seed: int = 0, frames: int = 6) -> Clip:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (frames, 3, 16, 16), generator=generator, dtype=torch.uint8)
    return Clip(frames=pixels, pts_seconds=torch.arange(frames, dtype=torch.float64) / 8)


def test_ask_tells_all_about_the_answer(model: VideoLLM) -> None:
    answer = model.ask(clip(), "What?", max_new_tokens=4)
    record = answer.to_dict()
    assert set(record) == {
        "answer",
        "model",
        "frames",
        "visual_tokens",
        "timings",
        "device",
        "scan_backend",
    }
    assert record["frames"] == [{"index": i, "seconds": i / 8} for i in range(6)]
    assert record["visual_tokens"] == 6 * 4
    assert list(record["timings"]) == ["decode", "encode", "first_token", "total"]
    assert 0 < record["timings"]["first_token"] <= record["timings"]["total"]


def test_streamed_pieces_make_the_whole_answer(model: VideoLLM) -> None:
    whole = model.chat(clip(), "What?", max_new_tokens=12)
    stream = model.chat(clip(), "What?", stream=True, max_new_tokens=12)
    assert "".join(stream).strip() == whole
    assert stream.answer.answer == whole


def test_batch_equals_one_by_one(model: VideoLLM) -> None:
    videos = [clip(0), None, clip(1, 3), clip(2, 9), clip(0)]
    questions = ["What?", "Who is there?", "Why?", "How many?", "When does it go?"]
    expected = [
        model.ask(video, question, max_new_tokens=6).answer
        for video, question in zip(videos, questions, strict=True)
    ]
    assert model.batch(videos, questions, max_new_tokens=6, batch_size=3) == expected


def test_frames_are_shown_in_as_many_tokens_as_asked_for(model: VideoLLM) -> None:
    usual = model.ask(clip(), "What?", max_new_tokens=12)
    same = model.ask(clip(), "What?", max_new_tokens=12, tokens_per_frame=4)
    assert (same.answer, same.visual_tokens) == (usual.answer, usual.visual_tokens)
    for tokens in (1, 3, 16):
        asked = model.ask(clip(), "What?", max_new_tokens=12, tokens_per_frame=tokens)
        assert asked.visual_tokens == 6 * tokens
        streamed = model.chat(
            clip(), "What?", stream=True, max_new_tokens=12, tokens_per_frame=tokens
        )
        assert "".join(streamed).strip() == asked.answer
    for tokens in (0, 17):
        with pytest.raises(RequestError, match="this model makes 1 to 16 tokens of each"):
            model.ask(clip(), "What?", tokens_per_frame=tokens)


def test_history_is_part_of_the_prompt(model: VideoLLM) -> None:
    history = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Yes."}]
    with_history = model.ask(clip(), "What?", history=history, max_new_tokens=8)
    assert with_history.answer != model.ask(clip(), "What?", max_new_tokens=8).answer


def test_drawn_answers_depend_on_their_seed_alone(model: VideoLLM) -> None:
    options = {"temperature": 1.0, "max_new_tokens": 12}
    one = model.ask(clip(), "What?", seed=1, **options).answer
    state = torch.get_rng_state()
    assert model.ask(clip(), "What?", seed=1, **options).answer == one
    assert model.ask(clip(), "What?", seed=2, **options).answer != one
    assert torch.equal(torch.get_rng_state(), state)


def test_closing_a_stream_stops_the_model(model: VideoLLM) -> None:
    stream = model.chat(clip(), "What?", stream=True, max_new_tokens=5000)
    next(stream)
    stream.close()
    assert stream.answer is not None
    assert len(stream.answer.answer) < 2000


def test_a_failure_while_generating_reaches_the_caller(
    model: VideoLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**kwargs: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model.model, "generate", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(model.chat(clip(), "What?", stream=True))


def test_an_adapter_beside_the_model_is_used(
    folder: Path, model: VideoLLM, tmp_path: Path, tiny_llm: Path
) -> None:
    import shutil

    shutil.copytree(folder, tmp_path / "tuned")
    base = VideoLLMForConditionalGeneration.from_pretrained(folder)
    adapted = attach_lora(base, LoraShape(rank=2))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=1.0)
    adapted.save_pretrained(tmp_path / "tuned" / "adapter")
    plain = model.ask(clip(), "What?", max_new_tokens=8).answer
    answers = {
        VideoLLM.from_pretrained(name, adapter=adapter, device="cpu", dtype="float32")
        .ask(clip(), "What?", max_new_tokens=8)
        .answer
        for name, adapter in [
            (tmp_path / "tuned", None),
            (tmp_path / "tuned" / "adapter", None),
            (folder, tmp_path / "tuned" / "adapter"),
        ]
    }
    assert len(answers) == 1
    assert answers != {plain}


def test_unknown_and_incomplete_models_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model; give 'demo'"):
        VideoLLM.from_pretrained("nonesuch")
    with pytest.raises(ModelError, match="no config.json"):
        VideoLLM.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(ModelError, match="cannot be loaded"):
        VideoLLM.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "at least 1"),
        ({"temperature": -1.0}, "from 0 to 5"),
        ({"num_frames": 4, "fps": 2.0}, "not both"),
    ],
)
def test_options_out_of_range_are_refused(
    model: VideoLLM, options: dict[str, float], message: str
) -> None:
    source = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(RequestError, match=message):
        model.ask(source, "What?", **options)


def test_an_empty_question_and_unequal_lists_are_refused(model: VideoLLM) -> None:
    with pytest.raises(RequestError, match="question is empty"):
        model.ask(clip(), " ")
    with pytest.raises(RequestError, match="2 videos and 1 questions"):
        model.batch([None, None], ["What?"])


def test_generation_ends_at_the_models_own_end_token(model: VideoLLM) -> None:
    settings = Generation().to_config(model.model, model.processor)
    assert settings.eos_token_id == model.processor.tokenizer.eos_token_id
