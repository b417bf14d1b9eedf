"""How tensors cross into the compiled library: structs of sizes, strided views and arrays.

The C++ side is `csrc/lanes.h` (`struct View`) and the struct at the head of each source.
"""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from videollm.encoder.extension import load_library

__all__ = ["call_native", "native_dtype", "native_struct"]


class _View(ctypes.Structure):
    """A (B, rows, L) tensor; strides count elements."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("batch", ctypes.c_int64),
        ("row", ctypes.c_int64),
        ("time", ctypes.c_int64),
    )


def native_struct(
    name: str, *, sizes: Sequence[str], views: Sequence[str], arrays: Sequence[str]
) -> type[ctypes.Structure]:
    """Return the struct with these fields, in this order: int64, `View` and pointers."""
    fields = (
        *((field, ctypes.c_int64) for field in sizes),
        *((field, _View) for field in views),
        *((field, ctypes.c_void_p) for field in arrays),
    )
    return type(name, (ctypes.Structure,), {"_fields_": fields})


def native_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return what the library computes in: float64 for tensors of that dtype, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def call_native(
    function: str, problem: ctypes.Structure, tensors: Mapping[str, Tensor | None]
) -> None:
    """Point the fields of `problem` at the tensors of the same names, and run.

    Args:
        function: Name in the library, without the suffix of its dtype.
        problem: Sizes are filled in; fields without a tensor stay null.
        tensors: All of one dtype, that of the call. Views may have any strides; arrays are made
            contiguous, so those written to must be so already.
    """
    present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    arrays: list[Tensor] = []  # alive until the call returns
    fields: Sequence[tuple[str, Any]] = problem._fields_  # type: ignore[assignment]
    for name, kind in fields:
        if name not in present:
            continue
        if kind is _View:
            setattr(problem, name, _View(present[name].data_ptr(), *present[name].stride()))
        elif kind is ctypes.c_void_p:
            arrays.append(present[name].contiguous())
            setattr(problem, name, arrays[-1].data_ptr())
    double = any(tensor.dtype == torch.float64 for tensor in present.values())
    suffix = "double" if double else "float"
    getattr(load_library(), f"{function}_{suffix}")(ctypes.byref(problem))
