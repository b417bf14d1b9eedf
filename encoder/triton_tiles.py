"""What the scan's Triton kernels are made of: tiles of consecutive steps and functions of them.

A program holds one vector of channels, and a tile is a tuple of such vectors, one for each of TILE
consecutive steps of the scan: the recurrence then runs in registers, with no exchange between
threads. A sequence comes as (address, stride of batches, of rows, of times), and `now` says where
a tile of it starts: (batch, t, length), with t a step in the order of the scan.

Only `scan_triton` imports this, when a scan is run: it needs Triton.
"""

import triton
import triton.language as tl

__all__ = [
    "LOG2E",
    "load_steps",
    "load_tile",
    "load_weights",
    "locate_program",
    "multiply",
    "sigmoid",
    "silu",
    "store_tile",
]

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def locate_program(
    channels: tl.tensor, chunks: tl.tensor, chunk_steps: tl.tensor, BLOCK: tl.constexpr
) -> tl.tuple:
    """Return the part (batch * chunks + chunk), batch, first step, channels and their mask."""
    part = tl.program_id(0).to(tl.int64)
    batch = part // chunks
    e = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    return part, batch, (part - batch * chunks) * chunk_steps, e, e < channels


@triton.jit
def load_tile(
    view: tl.tuple,
    row: tl.tensor,
    mask: tl.tensor,
    now: tl.tuple,
    TILE: tl.constexpr,
    DTYPE: tl.constexpr,
    REVERSE: tl.constexpr,
) -> tl.tuple:
    """Return a tile of a row, or of a vector of rows: zeros past the end, and where not `mask`."""
    address, stride, left = find_tile(view, row, now, REVERSE)
    tile = ()
    for k in tl.static_range(TILE):
        x = tl.load(address + k * stride, mask=mask & (k < left), other=0.0)
        tile = tile + (x.to(DTYPE),)
    return tile


@triton.jit
def store_tile(
    view: tl.tuple,
    row: tl.tensor,
    mask: tl.tensor,
    now: tl.tuple,
    tile: tl.tuple,
    TILE: tl.constexpr,
    REVERSE: tl.constexpr,
) -> None:
    """Write a tile to where `load_tile` would read it."""
    address, stride, left = find_tile(view, row, now, REVERSE)
    for k in tl.static_range(TILE):
        tl.store(address + k * stride, tile[k], mask=mask & (k < left))


@triton.jit
def find_tile(view: tl.tuple, row: tl.tensor, now: tl.tuple, REVERSE: tl.constexpr) -> tl.tuple:
    """Return the address of a row's first step, the way to the next, and how many are left."""
    batch, t, length = now
    left = (length - t).to(tl.int32)
    address = view[0] + batch * view[1] + tl.cast(row, tl.int64) * view[2]
    if REVERSE:
        return address + (length - 1 - t) * view[3], -view[3], left
    else:  # noqa: RET505  both are compiled otherwise
        return address + t * view[3], view[3], left


@triton.jit
def load_steps(
    view: tl.tuple,
    bias: tl.tensor,
    row: tl.tensor,
    mask: tl.tensor,
    now: tl.tuple,
    TILE: tl.constexpr,
    DTYPE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    REVERSE: tl.constexpr,
) -> tl.tuple:
    """Return a tile of step sizes: zero past the end, where the state has to stay as it is."""
    raw = load_tile(view, row, mask, now, TILE, DTYPE, REVERSE)
    left = (now[2] - now[1]).to(tl.int32)
    steps = ()
    for k in tl.static_range(TILE):
        step = raw[k] + bias
        if SOFTPLUS:
            step = softplus(step)
        steps = steps + (tl.where(k < left, step, 0.0),)
    return steps


@triton.jit
def load_weights(
    address: tl.tensor, e: tl.tensor, mask: tl.tensor, DTYPE: tl.constexpr
) -> tl.tensor:
    """Return one number a channel, zeros where there are none."""
    if address is None:
        return tl.full(e.shape, 0.0, DTYPE)
    else:  # noqa: RET505  both are compiled otherwise
        return tl.load(address + e, mask=mask, other=0.0)


@triton.jit
def multiply(one: tl.tuple, other: tl.tuple, TILE: tl.constexpr) -> tl.tuple:
    """Return the product of two tiles."""
    products = ()
    for k in tl.static_range(TILE):
        products = products + (one[k] * other[k],)
    return products


@triton.jit
def silu(tile: tl.tuple, TILE: tl.constexpr) -> tl.tuple:
    """Return x sigmoid(x) for a tile x."""
    gates = ()
    for k in tl.static_range(TILE):
        gates = gates + (tile[k] * sigmoid(tile[k]),)
    return gates


@triton.jit
def sigmoid(x: tl.tensor) -> tl.tensor:
    """Return 1 / (1 + exp(-x)) without overflow."""
    e = tl.exp2(tl.abs(x) * -LOG2E)
    return tl.where(x >= 0, 1.0, e) / (1.0 + e)


@triton.jit
def softplus(x: tl.tensor) -> tl.tensor:
    """Return log(1 + exp(x)) to full relative precision, for x of any sign and size.

    With e = exp(-|x|) it is max(x, 0) + log(1 + e), and log(1 + e) = 2 atanh(r) for
    r = e / (2 + e), at most 1/3: the series of atanh takes 7 terms in float32, 17 in float64.
    """
    e = tl.exp2(tl.abs(x) * -LOG2E)
    r = e / (2.0 + e)
    series = tl.full(x.shape, 0.0, x.dtype)
    for odd in tl.static_range(33 if x.dtype == tl.float64 else 13, 0, -2):
        series = series * (r * r) + 1.0 / odd
    return tl.maximum(x, 0.0) + 2.0 * r * series
