"""Gradient checkpointing holds less and changes no gradient."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import needs_bitsandbytes, shake, tiny_inputs, tiny_videollm
from videollm.loading import load_base
from videollm.lora import LoraShape, attach_lora

SHAPES = {
    "lora": LoraShape(rank=2),
    "qlora": LoraShape(rank=2),
    "dora": LoraShape(rank=2, dora=True),
    "without projector": LoraShape(rank=2, modules_to_save=()),
    "encoder too": LoraShape(rank=2, modules_to_save=("projector", "vision_model")),
}


def gradients(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """Return the gradient of each parameter that learns, and the bytes kept for the backward."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    ids = inputs["input_ids"]
    labels = ids.masked_fill(ids == model.config.video_token_id, -100)
    owned = {item.data_ptr() for item in model.parameters()}
    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(**inputs, labels=labels).loss
    held = sum(size for place, size in kept.items() if place not in owned)
    loss.backward()
    found = {
        name: item.grad.clone() for name, item in model.named_parameters() if item.requires_grad
    }
    return found, held


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=needs_bitsandbytes) if n == "qlora" else n for n in SHAPES]
)
def test_gradients_are_the_same_and_less_is_held(name: str, tiny_llm: Path, tmp_path: Path) -> None:
    model, processor = tiny_videollm(tiny_llm)
    if name == "qlora":
        model.save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        model, processor = load_base(tmp_path, dtype=torch.float32, quantization="nf4")
    adapted = attach_lora(model, SHAPES[name])
    shake(adapted)
    adapted.train()
    inputs = tiny_inputs(processor)
    plain, held = gradients(adapted, inputs)
    model.activation_checkpointing_enable()
    adapted.train()
    less, held_less = gradients(adapted, inputs)
    assert plain.keys() == less.keys()
    assert all(value.any() for key, value in plain.items() if "lora_" in key)
    for key, value in plain.items():
        torch.testing.assert_close(less[key], value, atol=1e-6, rtol=1e-5)
    assert held_less < held
