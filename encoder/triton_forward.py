"""The way forth of the scan's Triton kernels; `scan_triton` says how they play together.

A program is one warp: BLOCK channels of one chunk of the sequence. It takes tile after tile, and
in each one state after the other, so that nothing grows with the number of states. What is carried
from tile to tile lies in memory, (parts, S, E) with parts = B * chunks, where the cache holds it.

What all kernels take: `given`, the sequences u, delta, B, C and z (None: no gate); `weights`, A
(S, E), D (E,) and bias (E,), of which the last two may be None; the sizes E, S, L, how many chunks
and their steps, a multiple of TILE; how many channels and steps a program takes at once, BLOCK and
TILE; and what `selective_scan` knows as `delta_softplus` and `reverse`.

Legend: B batch, E channels, S states, L length (time), t a step in the order of the scan.
"""

import triton
import triton.language as tl

from videollm.encoder.triton_tiles import (
    LOG2E,
    load_steps,
    load_tile,
    load_weights,
    locate_program,
    multiply,
    silu,
    store_tile,
)

__all__ = ["carry_kernel", "forward_kernel"]


@triton.jit(do_not_specialize=["states", "length", "chunks", "chunk_steps"])
def forward_kernel(
    given: tl.tuple,
    weights: tl.tuple,
    y: tl.tuple,
    starts: tl.tensor,
    running: tl.tensor,
    totals: tl.tensor,
    channels: tl.tensor,
    states: tl.tensor,
    length: tl.tensor,
    chunks: tl.tensor,
    chunk_steps: tl.tensor,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    REVERSE: tl.constexpr,
) -> None:
    """Scan a chunk: from the state `starts` (zeros when None) to `running`, both (parts, S, E).

    Writes the output to the sequence `y` and the chunk's sum of step sizes to `totals` (parts, E),
    where they are not None.
    """
    dtype: tl.constexpr = weights.A.dtype.element_ty
    part, batch, begin, e, mask = locate_program(channels, chunks, chunk_steps, BLOCK)
    bias = load_weights(weights.bias, e, mask, dtype)
    skip = load_weights(weights.D, e, mask, dtype)
    total = tl.full([BLOCK], 0.0, dtype)
    for t in range(begin, begin + chunk_steps, TILE):
        now = (batch, t, length)
        u = load_tile(given.u, e, mask, now, TILE, dtype, REVERSE)
        steps = load_steps(given.delta, bias, e, mask, now, TILE, dtype, SOFTPLUS, REVERSE)
        inputs = multiply(steps, u, TILE)
        outputs = multiply((skip,) * TILE, u, TILE)
        for s in range(states):
            here = (part * states + s) * channels + e
            h = tl.load(running + here, mask=mask & (t > begin), other=0.0)
            if starts is not None:
                h += tl.load(starts + here, mask=mask & (t == begin), other=0.0)
            rate = tl.load(weights.A + s * channels + e, mask=mask, other=0.0) * LOG2E
            B = load_tile(given.B, s, s < states, now, TILE, dtype, REVERSE)
            if y is not None:
                C = load_tile(given.C, s, s < states, now, TILE, dtype, REVERSE)
            summed = ()
            for k in tl.static_range(TILE):
                h = tl.exp2(steps[k] * rate) * h + inputs[k] * B[k]
                if y is not None:
                    summed = summed + (outputs[k] + h * C[k],)
            if y is not None:
                outputs = summed
            tl.store(running + here, h, mask=mask)
        if y is not None:
            if given.z is not None:
                z = load_tile(given.z, e, mask, now, TILE, dtype, REVERSE)
                outputs = multiply(outputs, silu(z, TILE), TILE)
            store_tile(y, e, mask, now, outputs, TILE, REVERSE)
        for k in tl.static_range(TILE):
            total += steps[k]
        tl.debug_barrier()  # the next tile reads what this one wrote to `running`
    if totals is not None:
        tl.store(totals + part * channels + e, total, mask=mask)


@triton.jit(do_not_specialize=["states", "chunks"])
def carry_kernel(
    first: tl.tensor,
    added: tl.tensor,
    totals: tl.tensor,
    A: tl.tensor,
    carried: tl.tensor,
    channels: tl.tensor,
    states: tl.tensor,
    chunks: tl.tensor,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    REVERSE: tl.constexpr,
) -> None:
    """Write what every chunk gets from the one before it, or after it where REVERSE, to `carried`.

    The first gets `first` (B, S, E), zeros when None. A chunk passes on what it got, faded by
    exp(A times its sum of steps, `totals`), and what it adds, `added` (parts, S, E).
    """
    batch = tl.program_id(0).to(tl.int64) // states
    s = tl.program_id(0) - batch * states
    e = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = e < channels
    rate = tl.load(A + s * channels + e, mask=mask, other=0.0) * LOG2E
    x = load_weights(first, (batch * states + s) * channels + e, mask, A.dtype.element_ty)
    for i in range(0, chunks, TILE):
        part = batch * chunks + (chunks - 1 - i if REVERSE else i)
        decays = ()
        inputs = ()
        for k in tl.static_range(TILE):
            inside = mask & (i + k < chunks - 1)
            other = part - k if REVERSE else part + k
            total = tl.load(totals + other * channels + e, mask=inside, other=0.0)
            here = (other * states + s) * channels + e
            decays = decays + (tl.exp2(total * rate),)
            inputs = inputs + (tl.load(added + here, mask=inside, other=0.0),)
        for k in tl.static_range(TILE):
            here = ((part - k if REVERSE else part + k) * states + s) * channels + e
            tl.store(carried + here, x, mask=mask & (i + k < chunks))
            x = decays[k] * x + inputs[k]
