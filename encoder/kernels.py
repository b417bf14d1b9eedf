"""Which back end runs the selective scan, and why.

    reference   the definition, in plain PyTorch; slow, for checking
    plain       the same, chunk by chunk: any device, bounded memory
    cpu         compiled C++ for processors
    triton      Triton kernels for GPUs
    mamba_ssm   the CUDA kernel of mamba-ssm, where it has one

`auto` takes the environment variable VIDEOLLM_SCAN where it is set, else the fastest that works.
The choice is logged once; where a faster one is missing and `plain` runs, one warning says why.
"""

import functools
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from videollm.encoder.scan_cpu import cpu_scan_problem, selective_scan_cpu
from videollm.encoder.scan_mamba_ssm import mamba_scan_problem, selective_scan_mamba_ssm
from videollm.encoder.scan_reference import (
    ScanInputs,
    selective_scan_plain,
    selective_scan_reference,
)
from videollm.encoder.scan_triton import selective_scan_triton, triton_scan_problem

__all__ = ["SCANS", "BackendStatus", "probe_backends", "resolve_backend"]

logger = logging.getLogger(__name__)

VARIABLE = "VIDEOLLM_SCAN"
PROBE_TOLERANCE = 1e-4
SCANS: dict[str, Callable[[ScanInputs], tuple[Tensor, Tensor]]] = {
    "reference": lambda inputs: selective_scan_reference(*inputs),
    "plain": selective_scan_plain,
    "cpu": selective_scan_cpu,
    "triton": selective_scan_triton,
    "mamba_ssm": selective_scan_mamba_ssm,
}
BACKENDS = tuple(SCANS)
# What `auto` prefers to `plain`, by the kind of device, the fastest first.
FASTER = {"cpu": ("cpu",), "cuda": ("triton", "mamba_ssm")}


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendStatus:
    """What is known of one back end on this machine.

    Attributes:
        name: As given to `resolve_backend`.
        available: Whether it is there and for this kind of device.
        works: Whether it ran just now and agreed with the reference.
        chosen: Whether `auto` takes it for the device that was probed.
        reason: Why it does not work and what would change that; empty when it works.
    """

    name: str
    available: bool
    works: bool
    chosen: bool
    reason: str


def resolve_backend(requested: str, device: torch.device | str) -> str:
    """Return the name of the back end that runs when `requested` is asked for on `device`.

    Args:
        requested: `auto`, or one of `reference`, `plain`, `cpu`, `triton`, `mamba_ssm`.
        device: Where the tensors are.

    Returns:
        One of these names. `plain` stands in for `cpu` where it cannot be compiled, and for all
        that is faster where nothing of it works: then with a warning.

    Raises:
        ValueError: The name is unknown, or that back end is not there or not for this device.
    """
    kind = torch.device(device).type
    name, origin = requested, "backend"
    if requested == "auto":
        name, origin = os.environ.get(VARIABLE) or "auto", VARIABLE
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"{origin} is {name!r}: choose auto, {', '.join(BACKENDS)}")
    if name == "cpu" and kind != "cpu":
        raise ValueError(f"{origin} is 'cpu' but the tensors are on {kind}: choose auto or plain")
    if name in ("auto", "cpu"):
        name, problem = _fastest(kind)
        if problem:
            _warn_once(problem)
    elif problem := _problem(name, kind):
        raise ValueError(f"{origin} is {name!r}: {problem}; else choose auto or plain")
    _log_once(name, kind)
    return name


def probe_backends(device: torch.device | str = "cpu") -> list[BackendStatus]:
    """Run every back end on a small problem on `device` and report what came of it."""
    kind = torch.device(device).type
    preferred = os.environ.get(VARIABLE) or "auto"
    if preferred in ("auto", "cpu"):
        preferred, _ = _fastest(kind)
    statuses = []
    for name in BACKENDS:
        missing = _missing(name, kind)
        reason = missing or _disagreement(name, kind)
        statuses.append(
            BackendStatus(
                name=name,
                available=not missing,
                works=not reason,
                chosen=name == preferred,
                reason=reason,
            )
        )
    return statuses


def _fastest(kind: str) -> tuple[str, str]:
    """Return what `auto` takes on devices of this kind; if it is `plain`, why nothing faster."""
    problems = {}
    for name in FASTER.get(kind, ()):
        problems[name] = _problem(name, kind)
        if not problems[name]:
            return name, ""
    return "plain", "; ".join(f"{name}: {problem}" for name, problem in problems.items())


def _problem(name: str, kind: str) -> str:
    """Return why `name` is not to be run on devices of this kind, or nothing when it may be."""
    return _trial(name, kind) if name in FASTER["cuda"] else _missing(name, kind)


@functools.cache
def _trial(name: str, kind: str) -> str:
    """Return the problem of a kernel that is compiled or loaded when it is first run: run it."""
    return _missing(name, kind) or _disagreement(name, kind)


def _missing(name: str, kind: str) -> str:
    """Return why `name` is not there for devices of this kind, or nothing when it is."""
    problem = None
    if name == "cpu":
        problem = cpu_scan_problem() if kind == "cpu" else f"it is for processors, not for {kind}"
    elif name == "triton":
        problem = triton_scan_problem(kind)
    elif name == "mamba_ssm":
        problem = mamba_scan_problem(kind)
    return problem or ""


def _disagreement(name: str, kind: str) -> str:
    """Return what is wrong with a small scan by `name`, or nothing when it is right."""
    try:
        with torch.no_grad():
            found, _ = SCANS[name](_small_scan(kind))
            expected, _ = selective_scan_reference(*_small_scan("cpu"))
    except (RuntimeError, OSError, ImportError) as error:
        return f"it failed: {error}"
    difference = (found.cpu() - expected).abs().max().item()
    return "" if difference < PROBE_TOLERANCE else f"it is {difference:.2g} off the reference"


def _small_scan(kind: str) -> ScanInputs:
    generator = torch.Generator().manual_seed(0)
    u, delta, B, C = torch.randn(4, 1, 8, 70, generator=generator).to(kind)
    A = -torch.rand(8, 8, generator=generator).to(kind)
    return ScanInputs(u, delta.sigmoid(), A, B, C)


@functools.cache
def _warn_once(problem: str) -> None:
    warnings.warn(
        f"the selective scan runs in plain PyTorch, many times slower: {problem}",
        RuntimeWarning,
        stacklevel=4,
    )


@functools.cache
def _log_once(name: str, kind: str) -> None:
    logger.info("selective scan on %s: %s", kind, name)
