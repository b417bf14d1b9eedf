"""The lean LoRA layer beside peft's own: same outputs, same gradients, same way out."""

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig
from peft.tuners import lora
from torch import Tensor, nn

from videollm.lora_linear import LeanLoraLinear


def build(kind: type[lora.Linear], dtype: torch.dtype, **options: object) -> lora.Linear:
    """Return a layer of a kind, always with the same weights, its adapter in float32."""
    torch.manual_seed(0)
    base = nn.Linear(24, 40, bias=bool(options.pop("bias", True)))
    config = LoraConfig(r=4, lora_alpha=12, **options)  # type: ignore[arg-type]
    layer = kind(base, "default", config=config, r=4, lora_alpha=12)
    layer.lora_B["default"].weight.data.normal_(std=0.1)
    base.to(dtype).requires_grad_(False)
    layer.lora_A.float(), layer.lora_B.float()
    return layer


def results(layer: lora.Linear, dtype: torch.dtype) -> list[Tensor]:
    """Return a layer's output and the gradients of its input and its adapter."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 5, 24, generator=generator).to(dtype).requires_grad_()
    output = layer(x)
    assert output.dtype == dtype
    output.backward(torch.randn(2, 5, 40, generator=generator).to(dtype))
    grads = [x.grad, layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad]
    assert all(grad is not None for grad in grads)
    assert grads[1].dtype == grads[2].dtype == torch.float32
    return [part.detach().float() for part in (output, *grads)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_outputs_and_gradients_are_those_of_peft(
    dtype: torch.dtype, tolerance: float, bias: bool
) -> None:
    expected = results(build(lora.Linear, dtype, bias=bias), dtype)
    found = results(build(LeanLoraLinear, dtype, bias=bias), dtype)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= tolerance * other.abs().max()


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.merge(),
        lambda layer: layer.enable_adapters(False),
        lambda layer: layer.base_layer.weight.requires_grad_(),
    ],
    ids=["merged", "switched off", "base trained too"],
)
def test_all_else_goes_the_way_of_peft(change: Callable[[lora.Linear], object]) -> None:
    x = torch.randn(3, 24)
    layers = [build(kind, torch.float32) for kind in (lora.Linear, LeanLoraLinear)]
    for layer in layers:
        change(layer)
    expected, found = (layer(x) for layer in layers)
    assert torch.equal(found, expected)


def test_dropout_is_drawn_in_training_alone() -> None:
    layer = build(LeanLoraLinear, torch.float32, lora_dropout=0.5)
    x = torch.randn(3, 24)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_shares_of_weights_are_left_to_peft() -> None:
    layer = build(LeanLoraLinear, torch.float32)
    layer.lora_A["default"].weight.data = torch.empty(0)
    assert layer._plain_adapter(torch.randn(3, 24)) is None
