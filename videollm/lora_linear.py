"""A LoRA layer that computes in the number format of its input.

peft casts what goes into an adapter to the adapter's float32, multiplies there and adds in
float32: exact, but on a processor with bfloat16 these small products and casts take as long as
half of the frozen layer's own. Here the adapter's weights stay in float32, which small steps need,
and are cast for each product instead, as autocast does; one function knows the way back, so that
nothing in between is kept.

Legend: N tokens, I width in, O width out, R rank.
"""

from typing import Any

import torch
from peft.tuners import lora
from torch import Tensor, nn

__all__ = ["LeanLoraLinear"]


class LeanLoraLinear(lora.Linear):
    """peft's layer with a leaner way through it, where one plain adapter is on a plain layer."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the layer's output (..., O) for x (..., I)."""
        adapter = None if args or kwargs else self._plain_adapter(x)
        if adapter is None:
            return super().forward(x, *args, **kwargs)
        base = self.get_base_layer()
        down, up = self.lora_A[adapter].weight, self.lora_B[adapter].weight
        apply: Any = _LowRankLinear.apply
        output: Tensor = apply(x, base.weight, base.bias, down, up, self.scaling[adapter])
        return output

    def _plain_adapter(self, x: Tensor) -> str | None:
        """Return the name of the one adapter to use, or None where peft has to take its own way."""
        active = [name for name in self.active_adapters if name in self.lora_A]
        if len(active) != 1 or self.merged or self.disable_adapters:
            return None
        (name,) = active
        base = self.get_base_layer()
        is_plain = (
            type(base) is nn.Linear
            and type(self.lora_A[name]) is nn.Linear
            and self.lora_B[name].bias is None
            and name not in self.lora_variant
            and (isinstance(self.lora_dropout[name], nn.Identity) or not self.training)
        )
        # shares of weights (ZeRO-3, FSDP) are only whole inside the forward of their own module
        is_whole = (
            base.weight.shape == (self.out_features, self.in_features)
            and self.lora_A[name].weight.shape == (self.r[name], self.in_features)
            and self.lora_B[name].weight.shape == (self.out_features, self.r[name])
        )
        fits = x.dtype == base.weight.dtype and not base.weight.requires_grad
        is_cast = torch.is_autocast_enabled(x.device.type)
        return name if is_plain and is_whole and fits and not is_cast else None


class _LowRankLinear(torch.autograd.Function):
    """x W^T + bias + scaling (x A^T) B^T, where W and bias are frozen."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scaling: float,
    ) -> Tensor:
        """Return (..., O) for x (..., I), weight (O, I), down A (R, I) and up B (O, R)."""
        rows = x.reshape(-1, x.shape[-1])
        low, high = down.to(x.dtype), (up * scaling).to(x.dtype)
        inner = rows @ low.t()
        output = nn.functional.linear(rows, weight, bias).addmm_(inner, high.t())
        ctx.save_for_backward(rows, inner, weight, low, high)
        ctx.scaling, ctx.shape = scaling, x.shape
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Return the gradients of x, A and B, the latter two in float32."""
        rows, inner, weight, low, high = ctx.saved_tensors
        grads = grad.reshape(-1, grad.shape[-1])
        inner_grad = grads @ high
        x_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = (grads @ weight).addmm_(inner_grad, low).view(ctx.shape)
        down_grad = (inner_grad.t() @ rows).float()
        up_grad = (grads.t() @ inner).float().mul_(ctx.scaling)
        return x_grad, None, None, down_grad, up_grad, None
