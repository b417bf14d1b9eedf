"""The exported language model answers prompts of embeddings as `VideoLLM.chat` answers."""

import base64
import io
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_videollm
from tests.videollm.test_adapters import trained
from videollm import VideoLLM
from videollm.cli import main
from videollm.errors import DataError
from videollm.export_llm import (
    encode_embeddings,
    export_language_model,
    load_embeddings,
    prompt_embeddings,
    save_embeddings,
)
from videollm.lora import LoraShape
from videollm.toyworld import make_scene, render_frames, write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "moving.mp4"
    write_clip(render_frames(make_scene("val", 0), size=32, num_frames=8), path, fps=4)
    return path


@pytest.fixture(scope="module", params=["whole", "adapter"])
def folder(
    request: pytest.FixtureRequest, tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a saved model: all its weights in one, or with an adapter beside them."""
    folder = tmp_path_factory.mktemp("model")
    model, processor = tiny_videollm(tiny_llm)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if request.param == "adapter":
        trained(folder, folder / "adapter", LoraShape(rank=2))
    return folder


def test_the_exported_model_gives_the_answers_of_chat(
    folder: Path, clip: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # as it is saved: answers in bfloat16 would be others where a merged adapter is rounded to it
    model = VideoLLM.from_pretrained(folder, dtype="float32")
    history = [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "a circle"}]
    expected = model.chat(clip, "two?", history, num_frames=4, max_new_tokens=12)
    embeddings = prompt_embeddings(model, clip, "two?", history=history, num_frames=4)

    export_language_model(folder, tmp_path / "llm")
    alone = AutoModelForCausalLM.from_pretrained(tmp_path / "llm", dtype="auto").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "llm")
    save_embeddings(embeddings, tmp_path / "prompt.safetensors")
    prompt = load_embeddings(tmp_path / "prompt.safetensors")
    assert torch.equal(prompt, embeddings)
    answer = alone.generate(
        inputs_embeds=prompt[None].to(alone.dtype),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=12,
        do_sample=False,
    )
    assert tokenizer.decode(answer[0], skip_special_tokens=True).strip() == expected
    assert alone.get_input_embeddings().weight.shape[1] == prompt.shape[1]


def test_a_prompt_travels_as_vllm_takes_it() -> None:
    prompt = torch.randn(5, 8)
    data = base64.b64decode(encode_embeddings(prompt), validate=True)
    assert torch.equal(torch.load(io.BytesIO(data), weights_only=True), prompt)


def test_what_is_no_prompt_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    for name in ("a.safetensors", "none.safetensors"):
        with pytest.raises(DataError, match="holds no prompt"):
            load_embeddings(tmp_path / name)
    with pytest.raises(DataError, match="cannot be written"):
        save_embeddings(torch.zeros(1, 1), tmp_path / "no" / "a.safetensors")


def test_the_commands_write_both(
    tiny_llm: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, processor = tiny_videollm(tiny_llm)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), "--output", str(tmp_path / "llm")]) == 0
    assert (tmp_path / "llm" / "config.json").is_file()
    prompt = tmp_path / "prompt.safetensors"
    words = ["embed", str(clip), "what?", "--model", str(tmp_path / "model"), "--output"]
    assert main([*words, str(prompt)]) == 0
    assert "tokens of width 32" in capsys.readouterr().out
    assert load_embeddings(prompt).shape[1] == 32
    assert main(["export", str(tmp_path / "model"), "--output", str(tmp_path / "llm")]) == 2
