"""Four and eight bits: of the language model alone, with an adapter beside it, and named errors."""

import importlib.util
from pathlib import Path

import pytest
import torch
from peft.utils.integrations import dequantize_bnb_weight
from torch import nn

from tests.tiny import logits, needs_bitsandbytes, shake, tiny_inputs, tiny_videollm
from videollm.adapter_record import describe_base
from videollm.errors import ModelError
from videollm.loading import load_base, load_model
from videollm.lora import LoraShape, attach_lora, load_adapter, save_adapter
from videollm.model import VideoLLMForConditionalGeneration
from videollm.quantize import is_quantized, quantization_config

CPU = torch.device("cpu")
SHAPES = {
    "lora": LoraShape(rank=2),
    "dora": LoraShape(rank=2, dora=True, modules_to_save=("projector", "vision_model")),
}


@pytest.fixture(scope="module")
def folders(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a base with its language model by name, the same whole, and adapters for both."""
    root = tmp_path_factory.mktemp("quantize")
    model, processor = tiny_videollm(tiny_llm)
    for name in ("named", "whole"):
        model.save_pretrained(root / name)
        processor.save_pretrained(root / name)
        model.config.text_model = None
    for name, shape in SHAPES.items():
        fresh = VideoLLMForConditionalGeneration.from_pretrained(root / "named")
        record = describe_base(fresh)
        adapted = attach_lora(fresh, shape)
        shake(adapted)
        save_adapter(adapted, root / name, record=record)
    return {name: root / name for name in ("named", "whole", *SHAPES)}


def quantized_layers(model: nn.Module) -> set[str]:
    return {
        name for name, part in model.named_modules() if type(part).__name__.startswith("Linear4")
    }


@needs_bitsandbytes
@pytest.mark.parametrize("kind", ["named", "whole"])
def test_only_linear_layers_of_the_language_model_are_quantized(
    kind: str, folders: dict[str, Path]
) -> None:
    plain, _ = load_base(folders[kind], dtype=torch.float32)
    model, _ = load_base(folders[kind], dtype=torch.float32, quantization="nf4")
    assert is_quantized(model)
    assert not is_quantized(plain)
    head = plain.get_output_embeddings()
    assert quantized_layers(model) == {
        name
        for name, part in plain.named_modules()
        if name.startswith("language_model.") and isinstance(part, nn.Linear) and part is not head
    }
    for part in ("vision_model", "projector"):
        kept = plain.get_submodule(part).state_dict()
        for name, value in model.get_submodule(part).state_dict().items():
            assert value.dtype == torch.float32
            assert torch.equal(value, kept[name])


@needs_bitsandbytes
@pytest.mark.parametrize("kind", ["named", "whole"])
@pytest.mark.parametrize("adapter", SHAPES)
def test_an_adapter_works_beside_four_bits_as_beside_their_values(
    kind: str, adapter: str, folders: dict[str, Path], tiny_llm: Path
) -> None:
    inputs = tiny_inputs(tiny_videollm(tiny_llm)[1])
    four, _ = load_model(
        folders[kind], adapter=folders[adapter], quantization="nf4", device=CPU, dtype=torch.float32
    )
    same, _ = load_base(folders[kind], dtype=torch.float32)
    bare, _ = load_base(folders[kind], dtype=torch.float32, quantization="nf4")
    with torch.no_grad():
        for name in quantized_layers(bare):
            weight = bare.get_submodule(name).weight
            same.get_submodule(name).weight.copy_(dequantize_bnb_weight(weight))
    adapted = load_adapter_unchecked(same, folders[adapter])
    torch.testing.assert_close(logits(four, inputs), logits(adapted, inputs), atol=1e-3, rtol=1e-3)
    assert torch.equal(logits(four, inputs), logits(four, inputs))


def load_adapter_unchecked(model: VideoLLMForConditionalGeneration, folder: Path) -> nn.Module:
    """Load an adapter onto weights that were rounded to four bits, which its record refuses."""
    from peft import PeftModel

    with pytest.raises(ModelError, match="the language model's linear layers"):
        load_adapter(model, folder)
    with pytest.warns(FutureWarning, match="is_gradient_checkpointing"):
        return PeftModel.from_pretrained(model, folder)


@needs_bitsandbytes
def test_an_adapter_from_four_bits_loads_onto_both(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    model, processor = load_base(folders["named"], dtype=torch.float32, quantization="nf4")
    record = describe_base(model)
    adapted = attach_lora(model, LoraShape(rank=2))
    shake(adapted)
    expected = logits(adapted, tiny_inputs(processor))
    save_adapter(adapted, tmp_path, record=record)
    options = {"adapter": tmp_path, "device": CPU, "dtype": torch.float32}
    four, _ = load_model(folders["named"], quantization="nf4", **options)
    assert torch.equal(logits(four, tiny_inputs(processor)), expected)
    sixteen, _ = load_model(folders["named"], **{**options, "dtype": torch.bfloat16})
    assert not is_quantized(sixteen)
    assert logits(sixteen, tiny_inputs(processor)).isfinite().all()


@needs_bitsandbytes
def test_eight_bits_answer_nearly_alike(folders: dict[str, Path]) -> None:
    plain, processor = load_base(folders["named"], dtype=torch.float32)
    eight, _ = load_model(folders["named"], quantization="int8", device=CPU, dtype=torch.float32)
    inputs = tiny_inputs(processor)
    torch.testing.assert_close(logits(eight, inputs), logits(plain, inputs), atol=0.05, rtol=0.05)


@needs_bitsandbytes
def test_quantized_weights_are_not_written_as_a_model(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    whole, _ = load_base(folders["whole"], dtype=torch.float32, quantization="nf4")
    with pytest.raises(ModelError, match="is quantized and cannot be saved as a full model"):
        whole.save_pretrained(tmp_path)
    named, _ = load_base(folders["named"], dtype=torch.float32, quantization="nf4")
    named.save_pretrained(tmp_path)
    again = VideoLLMForConditionalGeneration.from_pretrained(tmp_path)
    assert not is_quantized(again)


def test_quantization_is_checked_by_name_and_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="'3bit' is unknown: use one of nf4, int8"):
        quantization_config("3bit", torch.float32)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"needs bitsandbytes and accelerate: .*videollm\[qlora\]"):
        quantization_config("nf4", torch.float32)
