"""Race what a step of instruction tuning takes: LoRA layers, and attention over packed rows.

python -m benchmarks.llm_step [--dtype bfloat16] [--output FOLDER]

Forward and backward on the sizes of SmolLM2-135M: the LoRA layer of peft beside ours, on as many
tokens as two clips with ten questions each have; attention over such a row by SDPA, span by span,
beside plain products, block by block. Times are the best of interleaved rounds, on one thread.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners import lora
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from benchmarks.measure import interleaved_seconds, save
from videollm.lora_linear import LeanLoraLinear
from videollm.packed_products import Span, attend_by_products, blocks_of

WIDTH, INNER, HEADS, GROUPS, HEAD_SIZE, RANK = 576, 1536, 9, 3, 64, 16
VIDEO_TOKENS, QUESTION_TOKENS, QUESTIONS, CLIPS = 148, 25, 10, 2
TOKENS = CLIPS * (VIDEO_TOKENS + QUESTIONS * QUESTION_TOKENS)


def main(argv: Sequence[str] | None = None) -> int:
    """Race, print, write."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    dtype = getattr(torch, options.dtype)
    results: dict[str, Any] = {"tokens": TOKENS, "dtype": options.dtype, "threads": 1}
    for name, size in (("lora_square", (WIDTH, WIDTH)), ("lora_mlp", (WIDTH, INNER))):
        layers = {"peft": lora.Linear, "ours": LeanLoraLinear}
        works = {label: _layer(kind, size, dtype) for label, kind in layers.items()}
        results[name] = _race(works, "peft")
    attention = {"sdpa": _attention(_by_span, dtype), "ours": _attention(_by_products, dtype)}
    results["attention"] = _race(attention, "sdpa")
    print(results)
    print(save(options.output, "llm_step", results, ["benchmarks.llm_step", *arguments]))
    return 0


def _race(works: dict[str, Callable[[], object]], rival: str) -> dict[str, float]:
    for work in works.values():
        work()
    seconds = interleaved_seconds(works, repeats=40)
    milliseconds = {f"{name}_ms": round(1000 * taken, 3) for name, taken in seconds.items()}
    return {**milliseconds, "ratio": round(seconds[rival] / seconds["ours"], 2)}


def _layer(
    kind: type[lora.Linear], size: tuple[int, int], dtype: torch.dtype
) -> Callable[[], object]:
    base = nn.Linear(*size, bias=False).to(dtype).requires_grad_(False)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK)
    layer = kind(base, "default", config=config, r=RANK, lora_alpha=2 * RANK)
    layer.lora_A.float()
    layer.lora_B.float()
    x = torch.randn(1, TOKENS, size[0]).to(dtype).requires_grad_()
    sent_back = torch.randn(1, TOKENS, size[1]).to(dtype)
    return lambda: layer(x).backward(sent_back)


def _attention(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor], dtype: torch.dtype
) -> Callable[[], object]:
    shapes = [(1, heads, TOKENS, HEAD_SIZE) for heads in (HEADS, GROUPS, GROUPS)]
    query, key, value = (torch.randn(shape).to(dtype).requires_grad_() for shape in shapes)
    sent_back = torch.randn(1, TOKENS, HEADS, HEAD_SIZE).to(dtype)
    return lambda: attend(query, key, value).backward(sent_back)


def _spans() -> list[Span]:
    spans: list[Span] = []
    for clip in range(CLIPS):
        first = clip * TOKENS // CLIPS
        last = first + VIDEO_TOKENS
        spans.append((first, last, first, first))
        starts = range(last, first + TOKENS // CLIPS, QUESTION_TOKENS)
        spans += [(start, start + QUESTION_TOKENS, first, last) for start in starts]
    return spans


def _by_products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    blocks = blocks_of(_spans())
    assert blocks is not None
    return attend_by_products(query, key, value, blocks, HEAD_SIZE**-0.5)


def _by_span(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend as `packed_attention` does where products do not suit."""
    module = nn.Module()
    module.num_key_value_groups, module.is_causal = HEADS // GROUPS, True  # type: ignore[assignment]
    dtype = query.dtype
    query, key, value = query.float(), key.float(), value.float()
    outputs = []
    for start, end, first, last in _spans():
        keys, values = (
            torch.cat([x[:, :, first:last], x[:, :, start:end]], 2) for x in (key, value)
        )
        shared = last - first
        mask = torch.ones(end - start, keys.shape[2], dtype=torch.bool).tril(shared)[None, None]
        own = query[:, :, start:end]
        given = mask if shared else None
        outputs.append(sdpa_attention_forward(module, own, keys, values, given)[0])
    return torch.cat(outputs, dim=1).to(dtype)


if __name__ == "__main__":
    sys.exit(main())
