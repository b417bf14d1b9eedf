"""A scan's own forward and backward passes as one differentiable function."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from videollm.encoder.scan_reference import ScanInputs

__all__ = ["make_differentiable"]

Forward = Callable[[ScanInputs], tuple[Tensor | None, ...]]
Backward = Callable[..., Mapping[str, Tensor]]


def make_differentiable(
    name: str, forward: Forward, backward: Backward
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Tie two passes to autograd.

    Args:
        name: What to call the scan in an error.
        forward: From the inputs to the output, the last state and what the way back needs.
        backward: From the inputs, what the way back needs, and the gradients of output and last
            state (None where nothing asks for them) to the gradient of every tensor by its name.

    Returns:
        A function of the fields of `ScanInputs`, to the output and the last state. It raises
        NotImplementedError where a second derivative is asked for.
    """

    class Scan(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> tuple[Tensor | None, ...]:  # noqa: ANN401
            inputs = ScanInputs(*arguments)
            y, last_state, *kept = forward(inputs)
            tensors = [x if isinstance(x, Tensor) else None for x in inputs]
            ctx.save_for_backward(*tensors, *kept)
            ctx.delta_softplus, ctx.reverse = inputs.delta_softplus, inputs.reverse
            ctx.set_materialize_grads(False)
            return y, last_state

        @staticmethod
        def backward(
            ctx: Any,  # noqa: ANN401
            grad_y: Tensor | None,
            grad_last: Tensor | None,
        ) -> tuple[Tensor | None, ...]:
            if torch.is_grad_enabled():  # create_graph=True: the graph would end here, unsaid
                raise NotImplementedError(
                    f"the {name} scan has no second derivative: "
                    "use backend='plain' or VIDEOLLM_SCAN"
                )
            saved = ctx.saved_tensors  # once: under gradient checkpointing a second read fails
            count = len(ScanInputs._fields)
            inputs = ScanInputs(*saved[:count])._replace(
                delta_softplus=ctx.delta_softplus, reverse=ctx.reverse
            )
            grads = backward(inputs, *saved[count:], grad_y, grad_last)
            return tuple(
                grads[field] if isinstance(value, Tensor) else None
                for field, value in inputs._asdict().items()
            )

    return Scan.apply
