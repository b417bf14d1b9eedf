"""The way back of the scan's Triton kernels; `scan_triton` says how they play together.

With a[t] the decay, d[t] the step size, x[t] = d[t] u[t], dy the gradient of the output before the
gate and dh that of the state, each step backward is

    dh += dy C;  dC = sum dy h[t];  dB = sum dh x;  dx = sum dh B;
    dh <- dh a;  dd = sum dh h[t-1] A;  dA += dh h[t-1] d

with the sums of dC and dB over channels, of dx and dd over states. Programs and what they take
are those of `triton_forward`. Their sums over channels are left as one a block of channels, so
that no result depends on the order in which programs run.

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
    sigmoid,
    silu,
    store_tile,
)

__all__ = ["backward_kernel", "replay_kernel"]


@triton.jit(do_not_specialize=["states", "length", "chunks", "chunk_steps"])
def replay_kernel(
    given: tl.tuple,
    weights: tl.tuple,
    grad_y: tl.tuple,
    starts: tl.tensor,
    tile_starts: tl.tensor,
    running: tl.tensor,
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
    """Scan a chunk once more, for the state before each tile: `tile_starts` (parts * tiles, S, E).

    Unless `running` (parts, S, E) is None, it gets the gradient of the state before the chunk
    through the outputs of the chunk: the sum over t of dy C, faded by all decays up to t.
    """
    dtype: tl.constexpr = weights.A.dtype.element_ty
    part, batch, begin, e, mask = locate_program(channels, chunks, chunk_steps, BLOCK)
    bias = load_weights(weights.bias, e, mask, dtype)
    total = tl.full([BLOCK], 0.0, dtype)
    for t in range(begin, begin + chunk_steps, TILE):
        now = (batch, t, length)
        u = load_tile(given.u, e, mask, now, TILE, dtype, REVERSE)
        steps = load_steps(given.delta, bias, e, mask, now, TILE, dtype, SOFTPLUS, REVERSE)
        inputs = multiply(steps, u, TILE)
        if running is not None:
            dy = load_gradient(grad_y, given.z, e, mask, now, TILE, dtype, REVERSE)
        tile = (part * chunk_steps + t - begin) // TILE
        for s in range(states):
            here = (part * states + s) * channels + e
            there = (tile * states + s) * channels + e
            h = tl.load(tile_starts + there, mask=mask & (t > begin), other=0.0)
            if starts is not None:
                h += tl.load(starts + here, mask=mask & (t == begin), other=0.0)
            tl.store(tile_starts + there, h, mask=mask & (t == begin))
            rate = tl.load(weights.A + s * channels + e, mask=mask, other=0.0) * LOG2E
            B = load_tile(given.B, s, s < states, now, TILE, dtype, REVERSE)
            if running is not None:
                C = load_tile(given.C, s, s < states, now, TILE, dtype, REVERSE)
                gradient = tl.load(running + here, mask=mask & (t > begin), other=0.0)
                faded = tl.exp2(total * rate)
            for k in tl.static_range(TILE):
                decay = tl.exp2(steps[k] * rate)
                h = decay * h + inputs[k] * B[k]
                if running is not None:
                    faded *= decay
                    gradient += faded * (dy[k] * C[k])
            last = t + TILE >= begin + chunk_steps
            tl.store(tile_starts + there + states * channels, h, mask=mask & (last == 0))
            if running is not None:
                tl.store(running + here, gradient, mask=mask)
        for k in tl.static_range(TILE):
            total += steps[k]
        tl.debug_barrier()  # the next tile reads what this one wrote


@triton.jit(do_not_specialize=["states", "length", "chunks", "chunk_steps"])
def backward_kernel(
    given: tl.tuple,
    weights: tl.tuple,
    grad_y: tl.tuple,
    grads: tl.tuple,
    sums: tl.tuple,
    tile_starts: tl.tensor,
    carried: tl.tensor,
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
    """Write the gradients of a chunk, given the state before each of its tiles.

    `grads` are sequences like those given, B and C with one for each block of channels and batch,
    (blocks * B, S, L). `sums` are like the weights, with one for each part: A (parts, S, E), D and
    bias (parts, E). `carried` (parts, S, E) holds the gradient of the state after the chunk, and
    in the end that of the state before it.
    """
    dtype: tl.constexpr = weights.A.dtype.element_ty
    place = locate_program(channels, chunks, chunk_steps, BLOCK)
    part, batch, begin, e, mask = place
    bias = load_weights(weights.bias, e, mask, dtype)
    skip = load_weights(weights.D, e, mask, dtype)
    sum_skip = tl.full([BLOCK], 0.0, dtype)
    sum_bias = tl.full([BLOCK], 0.0, dtype)
    for back in range(TILE, chunk_steps + TILE, TILE):
        t = begin + chunk_steps - back
        now = (batch, t, length)
        u = load_tile(given.u, e, mask, now, TILE, dtype, REVERSE)
        steps = load_steps(given.delta, bias, e, mask, now, TILE, dtype, SOFTPLUS, REVERSE)
        dy = load_gradient(grad_y, given.z, e, mask, now, TILE, dtype, REVERSE)
        tile = (steps, multiply(steps, u, TILE), dy, multiply((skip,) * TILE, u, TILE))
        views = (given.B, given.C, grads.B, grads.C)
        buffers = (weights.A, sums.A, tile_starts, carried)
        sizes = (channels, states, length, chunks, chunk_steps)
        dx, dd, outputs = walk_states(views, buffers, place, t, tile, sizes, TILE, REVERSE)
        raw = load_tile(given.delta, e, mask, now, TILE, dtype, REVERSE)
        du = ()
        dr = ()
        for k in tl.static_range(TILE):
            du = du + (steps[k] * dx[k] + dy[k] * skip,)
            step = tl.where(t + k < length, dd[k] + u[k] * dx[k], 0.0)
            if SOFTPLUS:
                step *= sigmoid(raw[k] + bias)
            dr = dr + (step,)
            sum_skip += dy[k] * u[k]
            sum_bias += step
        store_tile(grads.u, e, mask, now, du, TILE, REVERSE)
        store_tile(grads.delta, e, mask, now, dr, TILE, REVERSE)
        store_gate_gradient(grads.z, grad_y, given.z, outputs, e, mask, now, TILE, dtype, REVERSE)
        tl.debug_barrier()  # the next tile reads what this one wrote
    tl.store(sums.D + part * channels + e, sum_skip, mask=mask)
    tl.store(sums.bias + part * channels + e, sum_bias, mask=mask)


@triton.jit
def walk_states(
    views: tl.tuple,
    buffers: tl.tuple,
    place: tl.tuple,
    t: tl.tensor,
    tile: tl.tuple,
    sizes: tl.tuple,
    TILE: tl.constexpr,
    REVERSE: tl.constexpr,
) -> tl.tuple:
    """Return dx, dd and the output before the gate for one tile, having gone through all states.

    Writes dB and dC, and what is carried to the tile before: dh and dA.
    """
    B_view, C_view, dB_view, dC_view = views
    A_address, dA_address, tile_starts, carried = buffers
    part, batch, begin, e, mask = place
    steps, inputs, dy, outputs = tile
    channels, states, length, chunks, chunk_steps = sizes
    dtype: tl.constexpr = A_address.dtype.element_ty
    now = (batch, t, length)
    earlier = (part * chunk_steps + t - begin) // TILE * states
    batches = tl.num_programs(0) // chunks
    partial = (tl.program_id(1) * batches + batch, t, length)
    dx = (tl.full(e.shape, 0.0, dtype),) * TILE
    dd = dx
    for s in range(states):
        here = (part * states + s) * channels + e
        A = tl.load(A_address + s * channels + e, mask=mask, other=0.0)
        again = mask & (t + TILE < begin + chunk_steps)
        dA = tl.load(dA_address + here, mask=again, other=0.0)
        dh = tl.load(carried + here, mask=mask, other=0.0)
        B = load_tile(B_view, s, s < states, now, TILE, dtype, REVERSE)
        C = load_tile(C_view, s, s < states, now, TILE, dtype, REVERSE)
        h = (tl.load(tile_starts + (earlier + s) * channels + e, mask=mask, other=0.0),)
        decays = ()
        next_outputs = ()
        for k in tl.static_range(TILE):
            decays = decays + (tl.exp2(steps[k] * (A * LOG2E)),)
            h = h + (decays[k] * h[k] + inputs[k] * B[k],)
            next_outputs = next_outputs + (outputs[k] + h[k + 1] * C[k],)
        outputs = next_outputs
        dB = ()
        dC = ()
        next_dx = ()
        next_dd = ()
        for k in tl.static_range(TILE - 1, -1, -1):
            dh += dy[k] * C[k]
            dC = (tl.sum(dy[k] * h[k + 1], 0),) + dC
            dB = (tl.sum(dh * inputs[k], 0),) + dB
            next_dx = (dx[k] + dh * B[k],) + next_dx
            dh *= decays[k]
            next_dd = (dd[k] + dh * h[k] * A,) + next_dd
            dA += dh * h[k] * steps[k]
        dx = next_dx
        dd = next_dd
        store_tile(dB_view, s, s < states, partial, dB, TILE, REVERSE)
        store_tile(dC_view, s, s < states, partial, dC, TILE, REVERSE)
        tl.store(carried + here, dh, mask=mask)
        tl.store(dA_address + here, dA, mask=mask)
    return dx, dd, outputs


@triton.jit
def load_gradient(
    grad_y: tl.tuple,
    z: tl.tuple,
    e: tl.tensor,
    mask: tl.tensor,
    now: tl.tuple,
    TILE: tl.constexpr,
    DTYPE: tl.constexpr,
    REVERSE: tl.constexpr,
) -> tl.tuple:
    """Return a tile of dy: the gradient of the output, times the gate."""
    dy = load_tile(grad_y, e, mask, now, TILE, DTYPE, REVERSE)
    if z is None:
        return dy
    else:  # noqa: RET505  both are compiled otherwise
        gates = silu(load_tile(z, e, mask, now, TILE, DTYPE, REVERSE), TILE)
        return multiply(dy, gates, TILE)


@triton.jit
def store_gate_gradient(
    grad_z: tl.tuple,
    grad_y: tl.tuple,
    z: tl.tuple,
    outputs: tl.tuple,
    e: tl.tensor,
    mask: tl.tensor,
    now: tl.tuple,
    TILE: tl.constexpr,
    DTYPE: tl.constexpr,
    REVERSE: tl.constexpr,
) -> None:
    """Write a tile of dz, the gradient of the output times that of silu, if there is a gate."""
    if z is not None:
        z_tile = load_tile(z, e, mask, now, TILE, DTYPE, REVERSE)
        dy = load_tile(grad_y, e, mask, now, TILE, DTYPE, REVERSE)
        dz = ()
        for k in tl.static_range(TILE):
            gate = sigmoid(z_tile[k])
            dz = dz + (dy[k] * outputs[k] * gate * (1.0 + z_tile[k] * (1.0 - gate)),)
        store_tile(grad_z, e, mask, now, dz, TILE, REVERSE)
