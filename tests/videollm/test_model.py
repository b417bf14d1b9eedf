"""Laws of the whole model: fusion, cache, unequal batches, saving, adapters, registration."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor

from tests.tiny import tiny_videollm
from videollm.clip import Clip
from videollm.config import VideoLLMConfig
from videollm.errors import ModelError
from videollm.fusion import fuse_visual_tokens
from videollm.lora import LoraShape, attach_lora, load_adapter, merge_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor


@pytest.fixture(scope="module")
def parts(tiny_llm: Path) -> tuple[VideoLLMForConditionalGeneration, VideoLLMProcessor]:
    return tiny_videollm(tiny_llm, tubelet_size=2)


def clip(frames: int, seed: int = 0) -> Clip:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (frames, 3, 20, 24), generator=generator, dtype=torch.uint8)
    return Clip(frames=pixels, pts_seconds=torch.arange(frames, dtype=torch.float64) / 4)


def chat(question: str, *, video: bool) -> list[dict[str, object]]:
    content: list[dict[str, str]] = [{"type": "video"}] if video else []
    return [{"role": "user", "content": [*content, {"type": "text", "text": question}]}]


def inputs_for(
    processor: VideoLLMProcessor, questions: list[str], clips: list[Clip | None]
) -> dict[str, Tensor]:
    texts = [
        processor.render(
            chat(question, video=own is not None),
            [own] if own is not None else [],
            add_generation_prompt=True,
        )
        for question, own in zip(questions, clips, strict=True)
    ]
    return dict(processor(texts, [own for own in clips if own is not None]))


def test_a_frozen_language_model_answers_text_as_before(parts: tuple) -> None:
    model, processor = parts
    inputs = inputs_for(processor, ["Hello?"], [None])
    with torch.no_grad():
        ours = model(**inputs).logits
        plain = model.language_model(**inputs).logits
    assert torch.equal(ours, plain)


def test_the_answer_depends_on_the_video(parts: tuple) -> None:
    model, processor = parts
    with torch.no_grad():
        one, other = (
            model(**inputs_for(processor, ["What?"], [clip(4, seed)])).logits for seed in (0, 1)
        )
    assert not torch.allclose(one[:, -1], other[:, -1])


def test_cached_decoding_equals_uncached(parts: tuple) -> None:
    model, processor = parts
    inputs = inputs_for(processor, ["What is there?"], [clip(4)])
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    cached = model.generate(**inputs, use_cache=True, **options)
    uncached = model.generate(**inputs, use_cache=False, **options)
    assert torch.equal(cached, uncached)


def test_a_batch_of_unequal_videos_equals_one_by_one(parts: tuple) -> None:
    model, processor = parts
    questions = ["What?", "How many shapes are there in all?", "Hi", "Why?"]
    clips = [clip(4), clip(8, 1), None, clip(3, 2)]
    with torch.no_grad():
        together = model(**inputs_for(processor, questions, clips)).logits[:, -1]
        for row, (question, own) in enumerate(zip(questions, clips, strict=True)):
            alone = model(**inputs_for(processor, [question], [own])).logits[:, -1]
            torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-4)


def test_features_given_equal_pixels_given(parts: tuple) -> None:
    model, processor = parts
    inputs = inputs_for(processor, ["What?"], [clip(6)])
    with torch.no_grad():
        expected = model(**inputs).logits
        features = model.encode_videos(inputs.pop("pixel_values"), inputs.pop("frame_counts"))
        got = model(**inputs, video_features=features).logits
    assert torch.equal(got, expected)


def test_long_videos_are_read_in_chunks_when_nothing_is_trained(parts: tuple) -> None:
    model, _ = parts
    pixels = torch.randn(1, 70, 3, 16, 16)
    lengths: list[int] = []
    hook = model.vision_model.layers[0].register_forward_hook(
        lambda _, inputs, __: lengths.append(inputs[1].num_frames)
    )
    whole = model.encode_videos(pixels)[0]
    with torch.no_grad():
        chunked = model.encode_videos(pixels)[0]
    hook.remove()
    assert lengths == [35, 16, 16, 3]
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=1e-5)


def test_only_labelled_positions_carry_loss(parts: tuple) -> None:
    model, processor = parts
    inputs = inputs_for(processor, ["What?"], [clip(4)])
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[:, -3:] = inputs["input_ids"][:, -3:]
    with torch.no_grad():
        output = model(**inputs, labels=labels)
        full = model(**inputs).logits[:, :-1]
    assert output.logits.shape[0] == 3
    expected = torch.nn.functional.cross_entropy(full[0, -3:], labels[0, -3:])
    torch.testing.assert_close(output.loss, expected)
    with torch.no_grad():
        half = model(**inputs, labels=labels, num_items_in_batch=6).loss
    torch.testing.assert_close(half, expected / 2)


def test_placeholders_and_tokens_must_agree(parts: tuple) -> None:
    model, processor = parts
    inputs = inputs_for(processor, ["What?"], [clip(4)])
    inputs["input_ids"][0, -1] = processor.video_token_id
    with pytest.raises(ValueError, match="has 9 video placeholders, the videos give 8"):
        model(**inputs)
    embedding = model.get_input_embeddings()
    with pytest.raises(ValueError, match="has 0 video placeholders, the videos give 2"):
        fuse_visual_tokens(embedding, torch.ones(1, 3, dtype=torch.long), torch.zeros(2, 32), 259)


def test_visual_tokens_stand_in_order() -> None:
    embedding = torch.nn.Embedding(4, 2)
    ids = torch.tensor([[9, 1, 9], [9, 2, 3]])
    visual = torch.arange(6.0).view(3, 2)
    fused = fuse_visual_tokens(embedding, ids, visual, 9)
    assert torch.equal(fused[0, 0], visual[0])
    assert torch.equal(fused[0, 2], visual[1])
    assert torch.equal(fused[1, 0], visual[2])
    assert torch.equal(fused[1, 1], embedding.weight[2])


@pytest.mark.parametrize("by_name", [True, False])
def test_save_and_load_is_identity(parts: tuple, tmp_path: Path, by_name: bool) -> None:
    model, processor = parts
    name = model.config.text_model
    try:
        model.config.text_model = name if by_name else None
        model.save_pretrained(tmp_path)
    finally:
        model.config.text_model = name
    loaded = VideoLLMForConditionalGeneration.from_pretrained(tmp_path)
    own, other = model.state_dict(), loaded.state_dict()
    assert own.keys() == other.keys()
    assert all(torch.equal(own[key], other[key]) for key in own)
    inputs = inputs_for(processor, ["What?"], [clip(4)])
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, loaded(**inputs).logits)
    names = {path.name for path in tmp_path.iterdir()}
    assert "model.safetensors" in names
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)


def test_weights_of_another_config_are_refused(parts: tuple, tmp_path: Path) -> None:
    model, _ = parts
    model.save_pretrained(tmp_path)
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("projector.norm.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"lacks \['projector.norm.weight'\]"):
        VideoLLMForConditionalGeneration.from_pretrained(tmp_path)


def test_adapters_save_load_and_merge(tiny_llm: Path, tmp_path: Path) -> None:
    def base() -> VideoLLMForConditionalGeneration:
        return tiny_videollm(tiny_llm, tubelet_size=2)[0]

    model, processor = tiny_videollm(tiny_llm, tubelet_size=2)
    adapted = attach_lora(model, LoraShape(rank=2, alpha=4))
    for name, parameter in adapted.named_parameters():
        assert parameter.requires_grad == ("lora_" in name or "modules_to_save" in name)
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    inputs = inputs_for(processor, ["What?"], [clip(4)])
    with torch.no_grad():
        expected = adapted(**inputs).logits
        adapted.save_pretrained(tmp_path)
        reloaded = load_adapter(base(), tmp_path).eval()
        assert isinstance(reloaded, PeftModel)
        assert torch.equal(reloaded(**inputs).logits, expected)
        merged = merge_adapter(reloaded)
        torch.testing.assert_close(merged(**inputs).logits, expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(base()(**inputs).logits, expected)


def test_a_folder_without_adapter_is_refused(parts: tuple, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no adapter_config.json"):
        load_adapter(parts[0], tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"projector_type": "magic"}, "it is one of pool_mlp, tome_mlp, resampler, linear"),
        ({"tokens_per_frame": 0}, "give 1 to that many"),
        ({"format_version": 9}, "install a newer"),
        ({"tokens_per_frames": 4}, "no field tokens_per_frames"),
    ],
)
def test_config_refuses_contradictions(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoLLMConfig(**fields)


@pytest.mark.slow
def test_auto_classes_know_us_after_a_bare_import(parts: tuple, tmp_path: Path) -> None:
    model, processor = parts
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    model.vision_model.save_pretrained(tmp_path / "encoder")
    check = (
        "import sys, videollm\n"
        "assert 'transformers' not in sys.modules\n"
        "from transformers import AutoModel, AutoModelForImageTextToText, AutoProcessor\n"
        f"folder = {str(tmp_path)!r}\n"
        "names = [type(AutoProcessor.from_pretrained(folder)).__name__,\n"
        "    type(AutoModelForImageTextToText.from_pretrained(folder)).__name__,\n"
        "    type(AutoModel.from_pretrained(folder + '/encoder')).__name__]\n"
        "print(*names)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "VideoLLMProcessor",
        "VideoLLMForConditionalGeneration",
        "VideoMAPModel",
    ]
