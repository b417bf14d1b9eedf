"""The life of an adapter: saved, loaded, by peft alone, merged, moved, and refused elsewhere."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn

from tests.tiny import logits, shake, tiny_inputs, tiny_videollm
from videollm.adapter_record import (
    ADAPTER_WEIGHTS,
    compare_base,
    describe_base,
    read_record,
    write_record,
)
from videollm.errors import ModelError
from videollm.loading import load_model, merge_model, resolve_model
from videollm.lora import LoraShape, attach_lora, load_adapter, merge_adapter, save_adapter
from videollm.model import VideoLLMForConditionalGeneration

SHAPES = {
    "lora": LoraShape(rank=2),
    "rslora": LoraShape(rank=4, alpha=4, rslora=True),
    "dora": LoraShape(rank=2, dora=True),
    "some layers": LoraShape(rank=2, targets=("q_proj", "v_proj"), modules_to_save=()),
    "encoder too": LoraShape(rank=2, modules_to_save=("projector", "vision_model")),
    "words too": LoraShape(rank=2, modules_to_save=("projector", "embed_tokens")),
}
CPU = {"device": torch.device("cpu"), "dtype": torch.float32}


@pytest.fixture(scope="module")
def base(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model without an adapter."""
    model, processor = tiny_videollm(tiny_llm)
    folder = tmp_path_factory.mktemp("base")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def trained(model_folder: Path, folder: Path, shape: LoraShape, *, base: str = "") -> PeftModel:
    """Return a model with an adapter that does something, after writing it."""
    model = VideoLLMForConditionalGeneration.from_pretrained(model_folder)
    record = describe_base(model)
    adapted = attach_lora(model, shape)
    shake(adapted)
    save_adapter(adapted, folder, record=record, base=base or str(model_folder))
    return adapted


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
@pytest.mark.parametrize("name", SHAPES)
def test_saved_loaded_by_peft_alone_and_merged_agree(
    name: str, base: Path, tiny_llm: Path, tmp_path: Path
) -> None:
    inputs = tiny_inputs(tiny_videollm(tiny_llm)[1])

    def fresh() -> VideoLLMForConditionalGeneration:
        return VideoLLMForConditionalGeneration.from_pretrained(base)

    adapted = trained(base, tmp_path, SHAPES[name])
    expected = logits(adapted, inputs)
    assert not torch.allclose(expected, logits(fresh(), inputs), atol=1e-2)
    assert torch.equal(logits(load_adapter(fresh(), tmp_path), inputs), expected)
    assert torch.equal(logits(PeftModel.from_pretrained(fresh(), tmp_path), inputs), expected)
    merged = merge_adapter(load_adapter(fresh(), tmp_path))
    torch.testing.assert_close(logits(merged, inputs), expected, atol=1e-4, rtol=1e-4)
    brought = {
        part
        for part in ("vision_model", "projector", "embed_tokens")
        if any(f".{part}." in key for key in load_file(tmp_path / ADAPTER_WEIGHTS))
    }
    assert brought == set(SHAPES[name].modules_to_save)


def test_merging_writes_one_folder_that_answers_alike(
    base: Path, tiny_llm: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForImageTextToText

    inputs = tiny_inputs(tiny_videollm(tiny_llm)[1])
    shape = LoraShape(rank=2, modules_to_save=("projector", "vision_model"))
    expected = logits(trained(base, tmp_path / "adapter", shape), inputs)
    model, processor = merge_model(base, adapter=tmp_path / "adapter", dtype=torch.float32)
    model.save_pretrained(tmp_path / "merged")
    processor.save_pretrained(tmp_path / "merged")
    loaded, _ = load_model(tmp_path / "merged", **CPU)
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged")
    for whole in (loaded, plain):
        torch.testing.assert_close(logits(whole, inputs), expected, atol=1e-4, rtol=1e-4)
    half, _ = load_model(tmp_path / "merged", device=CPU["device"], dtype=torch.bfloat16)
    assert {item.dtype for item in half.language_model.parameters()} == {torch.bfloat16}
    for part in (half.vision_model, half.projector):
        assert {item.dtype for item in part.parameters()} == {torch.float32}
    with pytest.raises(ModelError, match="has no adapter to merge"):
        merge_model(tmp_path / "merged")


def test_an_adapter_for_another_base_is_refused_by_what_differs(
    base: Path, tiny_llm: Path, tmp_path: Path
) -> None:
    trained(base, tmp_path / "plain", LoraShape(rank=2))
    trained(base, tmp_path / "own", LoraShape(rank=2, modules_to_save=("vision_model",)))
    other, _ = tiny_videollm(tiny_llm, state_size=8)
    with pytest.raises(ModelError, match=r"another base .*encoder state_size 4 there, 8 here"):
        load_adapter(other, tmp_path / "plain")

    def changed(name: str) -> VideoLLMForConditionalGeneration:
        model = VideoLLMForConditionalGeneration.from_pretrained(base)
        with torch.no_grad():
            model.get_parameter(name).mul_(1.1)
        return model

    for name, words in [
        ("vision_model.layers.0.mixer.in_proj.weight", "the encoder's weights"),
        ("language_model.model.embed_tokens.weight", "embeddings and norms"),
        ("language_model.model.layers.1.mlp.up_proj.weight", "the language model's linear layers"),
    ]:
        with pytest.raises(ModelError, match=f"what differs: .*{words}: load it on the base"):
            load_adapter(changed(name), tmp_path / "plain")
    load_adapter(changed("projector.mlp.0.weight"), tmp_path / "plain")
    load_adapter(changed("vision_model.layers.0.mixer.in_proj.weight"), tmp_path / "own")
    with pytest.raises(ModelError, match="the projector's weights"):
        load_adapter(changed("projector.mlp.0.weight"), tmp_path / "own")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_base_is_known_again_in_every_number_format(
    dtype: torch.dtype, base: Path, tmp_path: Path
) -> None:
    trained(base, tmp_path, LoraShape(rank=2))
    load_adapter(VideoLLMForConditionalGeneration.from_pretrained(base).to(dtype), tmp_path)


def test_the_record_reads_tensors_too_long_for_a_float_to_count(tiny_llm: Path) -> None:
    model, _ = tiny_videollm(tiny_llm)
    model.projector.register_parameter(
        "long", nn.Parameter(torch.zeros(1).expand(2**24 + 2), requires_grad=False)
    )
    assert compare_base(describe_base(model), model) == []


def test_a_peft_folder_of_others_loads_with_a_warning(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(base, tmp_path / "model")
    adapted = attach_lora(VideoLLMForConditionalGeneration.from_pretrained(base), LoraShape(rank=2))
    adapted.save_pretrained(tmp_path / "model" / "adapter")
    assert read_record(tmp_path / "model" / "adapter") is None
    with caplog.at_level(logging.WARNING, logger="videollm"):
        load_model(tmp_path / "model", **CPU)
        assert not caplog.records
        load_model(base, adapter=tmp_path / "model" / "adapter", **CPU)
    assert "holds no record of its base" in caplog.text


def test_weights_too_many_or_too_few_are_refused(base: Path, tmp_path: Path) -> None:
    adapted = attach_lora(VideoLLMForConditionalGeneration.from_pretrained(base), LoraShape(rank=2))
    adapted.save_pretrained(tmp_path)
    weights = load_file(tmp_path / ADAPTER_WEIGHTS)
    first = next(iter(weights))
    missing = {name: value for name, value in weights.items() if name != first}
    for wrong in (missing, {**missing, f"{first}.more": weights[first]}):
        save_file(wrong, tmp_path / ADAPTER_WEIGHTS)
        with pytest.raises(ModelError, match="does not fit this model"):
            load_adapter(VideoLLMForConditionalGeneration.from_pretrained(base), tmp_path)
    (tmp_path / ADAPTER_WEIGHTS).unlink()
    with pytest.raises(ModelError, match="other formats can run code"):
        load_adapter(VideoLLMForConditionalGeneration.from_pretrained(base), tmp_path)


def test_folders_may_move(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "old")
    trained(base, tmp_path / "old" / "adapter", LoraShape(rank=2), base=str(tmp_path / "old"))
    shutil.move(tmp_path / "old", tmp_path / "new")
    for name in (tmp_path / "new", tmp_path / "new" / "adapter"):
        source = resolve_model(name)
        assert source == (tmp_path / "new", tmp_path / "new" / "adapter")
        assert source.is_own_adapter
        load_model(name, **CPU)
    shutil.copytree(tmp_path / "new" / "adapter", tmp_path / "alone")
    with pytest.raises(ModelError, match="its base .*old' is not there: give the base's folder"):
        resolve_model(tmp_path / "alone")
    load_model(tmp_path / "new", adapter=tmp_path / "alone", **CPU)
    # A whole model's folder stands for the adapter in it.
    assert resolve_model(base, tmp_path / "new").adapter == tmp_path / "new" / "adapter"


@pytest.mark.parametrize(
    ("version", "message"),
    [(2, "this videollm reads 1 to 1: install a newer videollm"), (0, "train it again")],
)
def test_another_format_says_what_to_do(
    version: int, message: str, base: Path, tmp_path: Path
) -> None:
    shutil.copytree(base, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "format_version": version}))
    with pytest.raises(
        ModelError, match=f"model: format_version is {version}, {message}|{message}"
    ):
        load_model(tmp_path / "model", **CPU)
    config.pop("format_version")
    path.write_text(json.dumps(config))
    trained(base, tmp_path / "model" / "adapter", LoraShape(rank=2))
    load_model(tmp_path / "model", **CPU)
    record = read_record(tmp_path / "model" / "adapter")
    assert record is not None
    write_record(tmp_path / "model" / "adapter", {**record, "format_version": version})
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "model", **CPU)


def test_layers_and_modules_that_are_not_there_are_named(base: Path, tiny_llm: Path) -> None:
    model = VideoLLMForConditionalGeneration.from_pretrained(base)
    with pytest.raises(ModelError, match=r"lora_targets: qkv: .* there are down_proj, gate_proj"):
        attach_lora(model, LoraShape(targets=("qkv", "q_proj")))
    with pytest.raises(ModelError, match="modules_to_save: the model has no module 'head'"):
        attach_lora(model, LoraShape(modules_to_save=("head",)))
    model.language_model.lm_head.weight = model.get_input_embeddings().weight
    with pytest.raises(ModelError, match="lm_head shares its weights"):
        attach_lora(model, LoraShape(modules_to_save=("lm_head",)))


def test_the_released_demo_goes_on_loading(caplog: pytest.LogCaptureFixture) -> None:
    source = resolve_model("demo")
    assert source.is_own_adapter
    assert source.adapter is not None
    assert read_record(source.adapter) is None
