"""Packed rows through each kind of attention, and the models that cannot read them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)
from transformers import modeling_flash_attention_utils as flash

from videollm import packing
from videollm.errors import ModelError
from videollm.packed_products import attend_by_products, blocks_of
from videollm.packing import Span, decode, packed_attention, prepare_packing, spans_tensor

SIZES: dict[str, Any] = {
    "vocab_size": 32, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
SHARED: list[Span] = [(0, 5, 0, 0), (5, 12, 0, 5), (12, 13, 0, 5)]
SPANS = [*SHARED, (13, 16, 13, 13), (16, 25, 16, 16)]
ALONE = [[*range(12)], [*range(5), 12], [13, 14, 15], [*range(16, 25)]]
POSITIONS = torch.tensor([[*range(12), 5, *range(3), *range(9)]])


def embeddings() -> Tensor:
    return torch.randn(1, 25, 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def alone(model: PreTrainedModel) -> Tensor:
    """Return the states of the row, each dialogue having been in a row of its own."""
    states = torch.zeros(1, 25, 32)
    for places in ALONE:
        found = decode(model.get_decoder(), embeddings()[:, places], None, None)
        states[:, places] = found
    return states


@torch.no_grad()
def packed(model: PreTrainedModel) -> Tensor:
    return decode(model.get_decoder(), embeddings(), spans_tensor(SPANS), POSITIONS)


def test_a_window_is_kept_inside_each_sample() -> None:
    model = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4)).eval()
    with pytest.raises(ValueError, match=r"a sample of 12 tokens for a window of 4 .* prepare_pac"):
        packed(model)
    model.set_attn_implementation("eager")
    with pytest.raises(ModelError, match=r"eager attention gets one mask .*\(4 tokens\).*sdpa, or"):
        prepare_packing(model)
    model.set_attn_implementation("sdpa")
    expected = alone(model)
    prepare_packing(model)
    torch.testing.assert_close(packed(model), expected, atol=1e-5, rtol=1e-4)
    wide = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None)).eval()
    wide.load_state_dict(model.state_dict())
    assert (alone(wide) - expected).abs().max() > 1e-3


def test_half_precision_goes_by_products_and_comes_back_in_half_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def counted(*arguments: Any) -> Tensor:
        calls.append(1)
        return attend_by_products(*arguments)

    monkeypatch.setattr(packing, "attend_by_products", counted)
    model = LlamaForCausalLM(LlamaConfig(**SIZES)).eval().to(torch.bfloat16)
    prepare_packing(model)
    given = embeddings().to(torch.bfloat16)
    with torch.no_grad():
        states = decode(model.get_decoder(), given, spans_tensor(SPANS), POSITIONS)
    assert states.dtype == torch.bfloat16
    assert len(calls) == SIZES["num_hidden_layers"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_give_what_sdpa_gives_and_its_gradients(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, 25, 16) for heads in (4, 2, 2)]
    parts = [torch.randn(shape, generator=generator) for shape in shapes]
    sent_back = torch.randn(1, 25, 4, 16, generator=generator)

    def run(attend: Callable[..., Tensor], kind: torch.dtype) -> list[Tensor]:
        leaves = [part.detach().to(kind, copy=True).requires_grad_() for part in parts]
        output = attend(*leaves)
        output.backward(sent_back.to(kind))
        return [
            output.detach().float(),
            *(leaf.grad.float() for leaf in leaves if leaf.grad is not None),
        ]

    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 2, True  # type: ignore[assignment]
    spans = spans_tensor(SPANS)
    expected = run(lambda *qkv: packed_attention(module, *qkv, spans)[0], torch.float32)
    blocks = blocks_of(SPANS)
    assert blocks is not None
    found = run(lambda *qkv: attend_by_products(*qkv, blocks, 0.25), dtype)
    atol = 1e-5 if dtype == torch.float32 else 0.05
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=atol, rtol=1e-4 if atol < 0.01 else 0.05)


def test_blocks_are_left_to_sdpa_where_products_do_not_suit_them() -> None:
    assert blocks_of(SPANS) == [
        ([SPANS[0]], 0), (SPANS[1:3], 0), ([SPANS[3]], 13), ([SPANS[4]], 16)
    ]  # fmt: skip
    apart = [(0, 5, 0, 0), (5, 9, 5, 5), (9, 12, 0, 5)]
    assert blocks_of(apart) is None
    assert blocks_of([(0, 2049, 0, 0)]) is None
    assert blocks_of([(0, 2000, 0, 0), (2000, 2049, 0, 2000)]) is None


def varlen(calls: list[list[int]]) -> Callable[..., Tensor]:
    """Return what flash-attention's function for sequences promises, by its definition."""

    def attend(
        q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor,
        max_seqlen_q: int, max_seqlen_k: int, dropout_p: float = 0.0,
        softmax_scale: float | None = None, causal: bool = False,
    ) -> Tensor:  # fmt: skip
        assert causal
        assert torch.equal(cu_seqlens_q, cu_seqlens_k)
        assert cu_seqlens_q.dtype == torch.int32
        assert max_seqlen_q == max_seqlen_k == int(cu_seqlens_q.diff().max())
        calls.append(cu_seqlens_q.tolist())
        outputs = []
        for start, end in zip(cu_seqlens_q, cu_seqlens_q[1:], strict=False):
            query, key, value = (part[None, start:end].transpose(1, 2) for part in (q, k, v))
            outputs.append(
                torch.nn.functional.scaled_dot_product_attention(
                    query, key, value, is_causal=True, scale=softmax_scale, enable_gqa=True
                )[0].transpose(0, 1)
            )
        return torch.cat(outputs)

    return attend


def test_flash_attention_gets_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LlamaForCausalLM(LlamaConfig(**SIZES)).eval()
    expected = alone(model)
    calls: list[list[int]] = []
    function = varlen(calls)
    monkeypatch.setattr(flash, "_loaded_implementation", "flash_attention_2")
    monkeypatch.setattr(flash, "_flash_fn", None)
    monkeypatch.setattr(flash, "_flash_varlen_fn", function)
    monkeypatch.setattr(flash, "_flash_with_kvcache_fn", None)
    monkeypatch.setattr(flash, "_pad_fn", None)
    monkeypatch.setattr(flash, "_unpad_fn", None)
    process = flash._lazy_define_process_function(function)
    monkeypatch.setattr(flash, "_process_flash_kwargs_fn", process)
    monkeypatch.setattr(flash, "_process_with_kvcache_kwargs_fn", dict)
    model.config._attn_implementation_internal = "flash_attention_2"
    prepare_packing(model)
    torch.testing.assert_close(packed(model), expected, atol=1e-5, rtol=1e-4)
    assert calls == [[0, 12, 18, 21, 30]] * SIZES["num_hidden_layers"]


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (MambaForCausalLM(MambaConfig(**{**SIZES, "state_size": 4})), "MambaFor"),
        (BloomForCausalLM(BloomConfig(vocab_size=32, hidden_size=32, n_head=4)), "BloomFor"),
    ],
)
def test_what_cannot_tell_samples_apart_is_refused(model: PreTrainedModel, found: str) -> None:
    with pytest.raises(ModelError, match=f"the layers of a {found}.* set packing: false"):
        prepare_packing(model)


def test_a_prepared_model_is_saved_as_it_was(tmp_path: Path) -> None:
    model = LlamaForCausalLM(LlamaConfig(**SIZES))
    model.save_pretrained(tmp_path / "plain")
    prepare_packing(model)
    model.save_pretrained(tmp_path / "packed")
    plain, packed = ((tmp_path / name / "config.json").read_text() for name in ("plain", "packed"))
    assert plain == packed
