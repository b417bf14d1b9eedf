"""Attention over packed rows as plain matrix products, for processors that are fast at bfloat16.

SDPA's kernel for processors works in float32 and span by span; a clip with ten questions costs it
eleven calls a layer, and three times as long as the same scores made by two products.

Legend: S spans, L tokens of a row, H heads, G key and value heads, K head size, Q queries of a
block, N keys of a block.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Span", "attend_by_products", "blocks_of"]

Span = tuple[int, int, int, int]
Block = tuple[list[Span], int]
"""Spans that follow each other, and where the keys of all of them begin."""

_MAX_KEYS = 2048
"""Scores take memory for queries times keys, so longer blocks are left to SDPA."""


def blocks_of(spans: Sequence[Span]) -> list[Block] | None:
    """Return a row's spans in blocks, those that share the same tokens together.

    None where what is shared does not come right before those that share it, or a block is long.

    Args:
        spans: S spans as in `videollm.packing`, in order.
    """
    blocks: list[Block] = []
    for span in spans:
        start, end, first, last = span
        if last == first:
            blocks.append(([span], start))
        elif last == start:
            blocks.append(([span], first))
        elif blocks and blocks[-1][0][-1][1:] == (start, first, last):
            blocks[-1][0].append(span)
        else:
            return None
        if end - blocks[-1][1] > _MAX_KEYS:
            return None
    return blocks


def attend_by_products(
    query: Tensor, key: Tensor, value: Tensor, blocks: Sequence[Block], scaling: float
) -> Tensor:
    """Return attention's output (1, L, H, K).

    Args:
        query: (1, H, L, K).
        key: (1, G, L, K); H is a multiple of G.
        value: Likewise.
        blocks: As `blocks_of` returned them.
        scaling: Of the scores.
    """
    heads, groups, width = query.shape[1], key.shape[1], query.shape[3]
    outputs = []
    for spans, first in blocks:
        start, end = spans[0][0], spans[-1][1]
        own = query[0, :, start:end].reshape(groups, -1, width)
        bias = _bias(spans, first, query).repeat(heads // groups, 1).expand(groups, -1, -1)
        keys, values = key[0, :, first:end], value[0, :, first:end]
        scores = torch.baddbmm(bias, own, keys.transpose(1, 2), alpha=scaling)
        mixed = torch.bmm(scores.softmax(dim=-1), values)
        outputs.append(mixed.view(heads, end - start, width).transpose(0, 1))
    return torch.cat(outputs)[None]


def _bias(spans: Sequence[Span], first: int, like: Tensor) -> Tensor:
    """Return what is added to the scores of a block, (Q, N): 0, or -inf where nothing is seen."""
    begin, end = spans[0][0], spans[-1][1]
    bias = like.new_full((end - begin, end - first), -torch.inf)
    for start, stop, shared_start, shared_end in spans:
        rows = bias[start - begin : stop - begin]
        rows[:, shared_start - first : shared_end - first] = 0
        rows[:, start - first : stop - first].triu_(1)
    return bias
