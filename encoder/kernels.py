r"""Which back end runs the selective scan, and why.

    reference   the definition, in plain PyTorch; slow, for checking
    plain       the same, chunk by chunk: any device, bounded memory
    cpu         compiled C++ for processors
    triton      GPU kernel       \ known by name, not in this version
    mamba_ssm   GPU kernel       /

`auto` takes the environment variable VIDEOLLM_SCAN where it is set, else the fastest that works.
The choice is logged once; only `cpu` gives way to another (`plain`), with one warning.
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
from videollm.encoder.scan_reference import (
    ScanInputs,
    selective_scan_plain,
    selective_scan_reference,
)

__all__ = ["SCANS", "BackendStatus", "probe_backends", "resolve_backend"]

logger = logging.getLogger(__name__)

VARIABLE = "VIDEOLLM_SCAN"
PROBE_TOLERANCE = 1e-4
SCANS: dict[str, Callable[[ScanInputs], tuple[Tensor, Tensor]]] = {
    "reference": lambda inputs: selective_scan_reference(*inputs),
    "plain": selective_scan_plain,
    "cpu": selective_scan_cpu,
}
MISSING = {
    "triton": "the Triton kernel is not in this version",
    "mamba_ssm": "the mamba-ssm kernel is not in this version",
}
BACKENDS = (*SCANS, *MISSING)


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendStatus:
    """What is known of one back end on this machine.

    Attributes:
        name: As given to `resolve_backend`.
        available: Whether it can be asked for.
        works: Whether it ran just now and agreed with the reference.
        chosen: Whether `auto` takes it for the device that was probed.
        reason: Why it does not work; empty when it does.
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
        `reference`, `plain` or `cpu`. `plain` stands in for `cpu` where it cannot be compiled.

    Raises:
        ValueError: The name is unknown, or that back end is not there or not for this device.
    """
    kind = torch.device(device).type
    name, origin = requested, "backend"
    if requested == "auto":
        name, origin = os.environ.get(VARIABLE) or "auto", VARIABLE
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"{origin} is {name!r}: choose auto, {', '.join(BACKENDS)}")
    if name in MISSING:
        raise ValueError(f"{origin} is {name!r}: {MISSING[name]}; choose auto, plain or cpu")
    if name == "cpu" and kind != "cpu":
        raise ValueError(f"{origin} is 'cpu' but the tensors are on {kind}: choose auto or plain")
    if name == "auto":
        name = "cpu" if kind == "cpu" else "plain"
    if name == "cpu" and (problem := cpu_scan_problem()):
        _warn_once(problem)
        name = "plain"
    _log_once(name, kind)
    return name


def probe_backends(device: torch.device | str = "cpu") -> list[BackendStatus]:
    """Run every back end on a small problem on `device` and report what came of it."""
    kind = torch.device(device).type
    problems = {name: _problem(name, kind) for name in BACKENDS}
    preferred = os.environ.get(VARIABLE) or "auto"
    if preferred in ("auto", "cpu"):
        preferred = "plain" if problems["cpu"] else "cpu"
    return [
        BackendStatus(
            name=name,
            available=name not in MISSING and not (name == "cpu" and problem),
            works=not problem,
            chosen=name == preferred,
            reason=problem,
        )
        for name, problem in problems.items()
    ]


def _problem(name: str, kind: str) -> str:
    """Return why `name` does not work on devices of this kind, or nothing when it does."""
    if name in MISSING:
        return MISSING[name]
    if name == "cpu":
        if kind != "cpu":
            return f"it is for processors, not for {kind}"
        if problem := cpu_scan_problem():
            return problem
    return _disagreement(name, kind)


def _disagreement(name: str, kind: str) -> str:
    """Return what is wrong with a small scan by `name`, or nothing when it is right."""
    try:
        with torch.no_grad():
            found, _ = SCANS[name](_small_scan(kind))
            expected, _ = selective_scan_reference(*_small_scan("cpu"))
    except RuntimeError as error:
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
