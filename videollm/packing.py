"""Packed rows: samples side by side in one row, each token seeing its own sample alone.

Which tokens attend to which is told by spans in the place of an attention mask: an integer tensor
(1, 1, S, 4) of `start, end, shared_start, shared_end`. The tokens of a span attend to all of its
shared ones, a span of their own that ended before, and to themselves causally. Spans follow each
other and cover the row. Two questions behind one video, then a sample of text:

    row:     video | question 1 | question 2 | text
    spans:   0 4 0 0   4 7 0 4    7 9 0 4      9 12 9 9

A mask (L, L) says the same, and `dense_mask` returns it, but attention then costs L ** 2. Read by
span it costs what the samples would cost alone: with SDPA one call for each, with flash-attention
the library's own path for rows of several sequences.

Legend: S spans, L tokens of a row, H heads, K head size, D width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.utils.generic import is_flash_attention_requested

from videollm.errors import ModelError
from videollm.packed_products import Span, attend_by_products, blocks_of

__all__ = [
    "Span",
    "decode",
    "dense_mask",
    "is_packed",
    "packed_attention",
    "prepare_packing",
    "sequences_of_spans",
    "spans_tensor",
]

PACKED_SDPA = "packed_sdpa"

_PACKABLE_LAYERS = frozenset({"full_attention", "sliding_attention"})


def spans_tensor(spans: list[Span]) -> Tensor:
    """Return spans in the place of an attention mask, (1, 1, S, 4) int64."""
    return torch.tensor(spans)[None, None]


def is_packed(attention_mask: Tensor | None) -> bool:
    """Return whether what stands in the place of an attention mask are spans."""
    return (
        attention_mask is not None
        and attention_mask.ndim == 4
        and attention_mask.dtype == torch.int64
    )


def dense_mask(spans: Tensor, length: int) -> Tensor:
    """Return which tokens attend to which, (1, 1, L, L) bool, true = attend.

    Args:
        spans: (1, 1, S, 4).
        length: L.
    """
    allowed = torch.zeros(length, length, dtype=torch.bool, device=spans.device)
    for start, end, shared_start, shared_end in spans[0, 0].tolist():
        allowed[start:end, shared_start:shared_end] = True
        own = allowed[start:end, start:end]
        own.copy_(torch.ones_like(own).tril())
    return allowed[None, None]


def sequences_of_spans(spans: Tensor) -> list[list[int]]:
    """Return the places of the row that each dialogue would have in a row of its own, in order.

    What several share is in each of them; a shared span that nothing follows is one by itself.

    Args:
        spans: (1, 1, S, 4).
    """
    rows: list[Span] = spans[0, 0].tolist()
    shared = {(first, last) for _, _, first, last in rows if last > first}
    return [
        [*range(first, last), *range(start, end)]
        for start, end, first, last in rows
        if (start, end) not in shared
    ]


def prepare_packing(language_model: PreTrainedModel) -> None:
    """Let a language model read spans in the fastest way that its attention has.

    Its answers do not change; without it spans become a dense mask.

    Raises:
        ModelError: Its layers would carry something from one sample into the next, or see beyond
            their window.
    """
    config = language_model.config
    kinds = set(getattr(config, "layer_types", None) or ())
    by_interface = language_model._can_set_attn_implementation()
    if language_model._is_stateful or kinds - _PACKABLE_LAYERS or not by_interface:
        raise ModelError(
            f"packing: the layers of a {type(language_model).__name__} cannot tell the samples of "
            "a row apart: set packing: false"
        )
    window = getattr(config, "sliding_window", None)
    by_span = config._attn_implementation in ("sdpa", PACKED_SDPA)
    if window is not None and not by_span and not is_flash_attention_requested(config):
        raise ModelError(
            f"packing: {config._attn_implementation} attention gets one mask for layers with a "
            f"window ({window} tokens) and without: set attn_implementation: sdpa, or packing: "
            "false"
        )
    if config._attn_implementation == "sdpa":
        language_model.set_attn_implementation(PACKED_SDPA)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Return SDPA's attention, span by span where the mask is spans.

    Arguments and result (B, L, H, K) are those of the library's attention functions.
    """
    if not is_packed(attention_mask):
        mixed, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return mixed, None
    assert attention_mask is not None
    spans: list[Span] = [tuple(span) for span in attention_mask[0, 0].tolist()]
    dtype, window = query.dtype, options.get("sliding_window")
    if query.device.type == "cpu" and dtype.itemsize < 4:
        # On the way back SDPA's CPU kernel takes five times longer in bfloat16.
        blocks = None if window is not None or options.get("dropout") else blocks_of(spans)
        if blocks is not None:
            scaling = options.get("scaling") or query.shape[-1] ** -0.5
            return attend_by_products(query, key, value, blocks, scaling), None
        query, key, value = query.float(), key.float(), value.float()
    outputs = []
    for start, end, first, last in spans:
        keys, values = (
            torch.cat([part[:, :, first:last], part[:, :, start:end]], dim=2)
            if last > first
            else part[:, :, start:end]
            for part in (key, value)
        )
        mask = _span_mask(end - start, last - first, window, query.device)
        own = query[:, :, start:end]
        outputs.append(sdpa_attention_forward(module, own, keys, values, mask, **options)[0])
    return torch.cat(outputs, dim=1).to(dtype), None


def _span_mask(own: int, shared: int, window: int | None, device: torch.device) -> Tensor | None:
    """Return which of `shared + own` keys each of `own` queries sees; None: all before it."""
    is_windowed = window is not None and shared + own > window
    if not shared and not is_windowed:
        return None
    allowed = torch.ones(own, shared + own, dtype=torch.bool, device=device).tril(shared)
    if is_windowed:
        assert window is not None
        allowed = allowed.triu(shared - window + 1)
    return allowed[None, None]


ALL_ATTENTION_FUNCTIONS.register(PACKED_SDPA, packed_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(PACKED_SDPA, sdpa_mask)


def decode(
    decoder: nn.Module,
    embeddings: Tensor,
    attention_mask: Tensor | None,
    position_ids: Tensor | None,
) -> Tensor:
    """Return a decoder's last hidden states (B, L, D).

    Args:
        decoder: The language model without its head.
        embeddings: (B, L, D).
        attention_mask: (B, L), or (B, 1, L, L) bool, or with B = 1 spans.
        position_ids: (B, L); spans need them.

    Raises:
        ValueError: A sample is longer than the window of a decoder that gets a dense mask.
    """
    config: Any = decoder.config
    if is_packed(attention_mask):
        assert attention_mask is not None
        assert position_ids is not None
        if is_flash_attention_requested(config):
            return _decode_sequences(decoder, embeddings, position_ids, attention_mask)
        if config._attn_implementation == PACKED_SDPA:
            attention_mask = attention_mask.cpu()  # read by Python, layer by layer
        else:
            _check_window(getattr(config, "sliding_window", None), position_ids)
            allowed = dense_mask(attention_mask, embeddings.shape[1])
            nothing = torch.zeros_like(allowed, dtype=embeddings.dtype)
            attention_mask = nothing.masked_fill(~allowed, torch.finfo(nothing.dtype).min)
    states: Tensor = decoder(
        inputs_embeds=embeddings,
        attention_mask=attention_mask,
        position_ids=position_ids,
        use_cache=False,
    ).last_hidden_state
    return states


def _check_window(window: int | None, position_ids: Tensor) -> None:
    length = int(position_ids.max()) + 1
    if window is not None and length > window:
        raise ValueError(
            f"a sample of {length} tokens for a window of {window} that a dense mask leaves out: "
            "call prepare_packing first"
        )


def _decode_sequences(
    decoder: nn.Module, embeddings: Tensor, position_ids: Tensor, spans: Tensor
) -> Tensor:
    """Return the same by the library's path for rows of sequences, which cannot share anything.

    Each dialogue is given what it shares as its own; afterwards the first copy is taken.
    """
    sequences = sequences_of_spans(spans)
    places = torch.tensor([place for row in sequences for place in row], device=embeddings.device)
    lengths = torch.tensor([0, *map(len, sequences)], device=embeddings.device)
    ends = lengths.cumsum(0, dtype=torch.int32)
    longest = max(map(len, sequences))
    states: Tensor = decoder(
        inputs_embeds=embeddings[:, places],
        position_ids=position_ids[:, places],
        use_cache=False,
        cu_seq_lens_q=ends,
        cu_seq_lens_k=ends,
        max_length_q=longest,
        max_length_k=longest,
    ).last_hidden_state
    first: dict[int, int] = {}
    for copy, place in enumerate(places.tolist()):
        first.setdefault(place, copy)
    return states[:, [first[place] for place in range(embeddings.shape[1])]]
