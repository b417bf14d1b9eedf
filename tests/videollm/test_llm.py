"""Language models by name: any causal LM in a folder, the packaged one, and what is neither."""

import json
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    CLIPConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from videollm import llm
from videollm.errors import ModelError


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _save_tokenizer(folder: Path, **special: str) -> None:
    words = models.WordLevel({"<unk>": 0, "</s>": 1, "hello": 2}, unk_token="<unk>")
    backend = Tokenizer(words)
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(folder)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Return the folder of a tiny causal language model without pad token or chat template."""
    config = LlamaConfig(
        vocab_size=3,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=1,
        eos_token_id=1,
    )
    folder = tmp_path / "tiny-model"
    LlamaForCausalLM(config).save_pretrained(folder)
    _save_tokenizer(folder, eos_token="</s>", unk_token="<unk>")
    return folder


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_local_model_loads_as_saved(
    tiny: Path, dtype: torch.dtype, capfd: pytest.CaptureFixture[str]
) -> None:
    model = llm.load_language_model(str(tiny), dtype=dtype, device="cpu")
    reference = AutoModelForCausalLM.from_pretrained(tiny, dtype=dtype)
    capfd.readouterr()
    again = llm.load_language_model(str(tiny), dtype=dtype, device=torch.device("cpu"))
    assert capfd.readouterr() == ("", ""), "loading must not spoil a program's output"
    assert not model.training
    for ours, theirs, once_more in zip(
        model.parameters(), reference.parameters(), again.parameters(), strict=True
    ):
        assert ours.dtype is dtype
        assert torch.equal(ours, theirs)
        assert torch.equal(ours, once_more)


@pytest.mark.usefixtures("no_network")
def test_base_model_gets_pad_token_and_plain_turns(tiny: Path) -> None:
    tokenizer = llm.load_tokenizer(str(tiny))
    assert tokenizer.pad_token == tokenizer.eos_token == "</s>"
    turns = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "hello"},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == "User: hello\nAssistant: hello</s>\nUser: hello\nAssistant: "


def test_saved_tokenizer_does_not_tell_how_it_was_loaded(tiny: Path, tmp_path: Path) -> None:
    llm.load_tokenizer(str(tiny)).save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert not {"local_files_only", "is_local"} & set(saved)
    assert saved["eos_token"] == "</s>"


def test_tokenizer_without_an_end_is_refused(tiny: Path) -> None:
    _save_tokenizer(tiny, unk_token="<unk>")
    with pytest.raises(ModelError, match="no end-of-text token"):
        llm.load_tokenizer(str(tiny))


def _break_empty(folder: Path) -> None:
    (folder / "config.json").unlink()


def _break_architecture(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "no_such_thing"}))


def _break_kind(folder: Path) -> None:
    CLIPConfig().save_pretrained(folder)


def _break_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _break_code(folder: Path) -> None:
    remote = {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}
    (folder / "config.json").write_text(json.dumps({"model_type": "odd", "auto_map": remote}))


def _break_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (_break_empty, "holds no config.json"),
        (_break_architecture, "names no architecture that transformers knows"),
        (_break_kind, "a 'clip' model, not a causal language model"),
        (_break_weights, "no model.safetensors there"),
        (_break_code, "code from its own repository, which is never run"),
        (_break_json, "not a valid JSON"),
    ],
)
def test_folder_that_is_no_language_model_is_explained(
    tiny: Path, break_it: Callable[[Path], None], message: str
) -> None:
    break_it(tiny)
    with pytest.raises(ModelError, match=message) as caught:
        llm.load_language_model(str(tiny), dtype=torch.float32, device="cpu")
    assert str(caught.value).startswith(str(tiny))
    assert repr(llm.DEFAULT_LLM) in str(caught.value), "it must say what to do"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["./no/such/folder", "/no/such", "two words", "", "a/b/c"])
def test_name_that_can_be_nothing_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="no such folder, and not a hub name"):
        llm.resolve_language_model(name)


def test_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("")
    with pytest.raises(ModelError, match="a file, not the folder of a model"):
        llm.resolve_language_model(str(tmp_path / "model.gguf"))


def test_resolve_leaves_hub_names_alone(tiny: Path) -> None:
    assert llm.resolve_language_model("owner/some-model_1.5") == "owner/some-model_1.5"
    assert llm.resolve_language_model(str(tiny)) == str(tiny)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    "load",
    [llm.load_tokenizer, partial(llm.load_language_model, dtype=torch.float32, device="cpu")],
    ids=["tokenizer", "model"],
)
def test_unreachable_hub_is_one_quick_line(
    monkeypatch: pytest.MonkeyPatch,
    load: Callable[[str], object],
    capfd: pytest.CaptureFixture[str],
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    start = time.perf_counter()
    with pytest.raises(ModelError, match="the hub cannot be reached") as caught:
        load("no-owner/no-model")
    assert time.perf_counter() - start < 10
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_unknown_hub_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    def unknown(*_: object, **__: object) -> None:
        raise RepositoryNotFoundError.__new__(RepositoryNotFoundError)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unknown)
    with pytest.raises(ModelError, match=r"no-owner/no-model: neither a folder here nor"):
        llm.load_tokenizer("no-owner/no-model")
