"""What the tests of the Triton kernels do in processes of their own.

Whether a kernel is compiled or interpreted is settled when Triton is imported, for the whole
process. So the interpreter gets one, and the compiler another, with a GPU that is only named.
"""

from typing import Any

import torch
from torch import Tensor

from tests.encoder.scan_cases import assert_same, make_inputs, run
from videollm.encoder import kernels, scan_triton
from videollm.encoder.scan import selective_scan
from videollm.encoder.scan_reference import ScanInputs

Size = tuple[int, int, int, int]


def cut(tile_steps: int, chunk_steps: int) -> None:
    """Make tiles and chunks so short that a short sequence has many, and skip the trial run."""
    kernels._trial = lambda name, kind: ""
    scan_triton.TILE_STEPS = tile_steps
    scan_triton.MIN_CHUNK_STEPS = chunk_steps
    scan_triton.MIN_CHUNKS = 2


def compare(size: Size, tolerance: float, seed: int = 0, **options: Any) -> None:
    """Hold values and gradients of a random scan against the reference."""
    torch.manual_seed(seed)
    inputs = make_inputs(*size, **options)
    assert_same(run(inputs, "triton"), run(inputs, "reference"), tolerance)


def compare_changed(size: Size, name: str, change: str, value: float) -> None:
    """Hold a scan against the reference after one of its inputs was changed."""
    inputs = make_inputs(*size)
    tensor: Tensor = inputs[name]
    if change == "scale":
        inputs[name] = tensor * value
    elif change == "expand":
        inputs[name] = tensor[:1, :1].expand_as(tensor)
    else:
        tensor.view(-1)[-1] = value
    found, expected = (selective_scan(**inputs, backend=b) for b in ("triton", "reference"))
    torch.testing.assert_close(found, expected, rtol=5e-5, atol=1e-5, equal_nan=True)


def compare_one_way(size: Size, result: int) -> None:
    """Hold the gradients through the output (0) or the last state (1) alone to the reference."""
    inputs = make_inputs(*size)
    leaves = [x.requires_grad_() for x in inputs.values() if isinstance(x, Tensor)]
    grads = []
    for backend in ("triton", "reference"):
        results = selective_scan(**inputs, return_last_state=True, backend=backend)
        grads.append(torch.autograd.grad(results[result].sum(), leaves, allow_unused=True))
    for found, expected in zip(*grads, strict=True):
        expected = torch.zeros_like(found) if expected is None else expected
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def second_derivative() -> None:
    """Ask for what there is not."""
    inputs = make_inputs(1, 2, 3, 1, options=False)
    y = selective_scan(**inputs | {"u": inputs["u"].requires_grad_()}, backend="triton")
    torch.autograd.grad(y.sum(), inputs["u"], create_graph=True)


def saved_elements(size: Size) -> int:
    """Return how many numbers a scan keeps for its way back, inputs not counted."""
    inputs = make_inputs(*size)
    given = {x.data_ptr() for x in inputs.values() if isinstance(x, Tensor)}
    inputs["u"].requires_grad_()
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        selective_scan(**inputs, backend="triton")
    return sum(number for pointer, number in saved.items() if pointer not in given)


def compile_scan(dtype: torch.dtype, *, backward: bool = True, **options: Any) -> list[str]:
    """Compile the kernels of a scan and return their names, in the order of their use."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime import JITFunction, driver

    class NamedGpu:
        """As much of a driver as the compiler asks."""

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", 90, 32)

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int) -> int:
            return device

    compiled = []

    def compile_only(kernel: JITFunction, grid: tuple[int, int], *arguments: Any) -> None:
        binary = kernel.warmup(*arguments, grid=grid, num_warps=1)
        assert binary.asm["cubin"]
        compiled.append(kernel.__name__)

    driver.set_active(NamedGpu())
    scan_triton._launch = compile_only
    scan_triton.PROGRAMS = 100
    inputs = make_inputs(1, 64, 400, 16, dtype=dtype, **options)
    inputs["u"].requires_grad_()
    y, _ = scan_triton.selective_scan_triton(ScanInputs(**inputs))
    if backward:
        y.sum().backward()
    return compiled
