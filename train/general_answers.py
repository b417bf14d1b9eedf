"""A language model's own answers to general prompts, as dialogues to train on.

`python -m videollm.train.general_answers --output FILE` asks the packaged language model, greedily
and without any video, and writes a file that recipes take as `data_path`. A file that is there
already is kept: the answers of one model do not change.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from videollm.errors import VideoLLMError
from videollm.llm import DEFAULT_LLM, load_language_model, load_tokenizer
from videollm.train.general_prompts import general_prompts

__all__ = ["answer_prompts", "main", "write_answers"]

_BATCH = 16


def write_answers(
    path: Path, *, language_model: str, max_new_tokens: int, prompts: Sequence[str]
) -> int:
    """Write one dialogue a line, all or nothing; return how many.

    Args:
        path: The file.
        language_model: Name or folder.
        max_new_tokens: Longest answer; those that are cut there are left out.
        prompts: What to ask.

    Raises:
        ModelError: The language model cannot be had.
    """
    tokenizer = load_tokenizer(language_model)
    model = load_language_model(language_model, dtype=torch.float32, device="cpu")
    lines = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": prompt},
                    {"role": "assistant", "content": answer},
                ]
            }
        )
        for prompt, answer in answer_prompts(model, tokenizer, prompts, max_new_tokens)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.replace(draft, path)
    return len(lines)


def answer_prompts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    max_new_tokens: int,
) -> Iterator[tuple[str, str]]:
    """Yield the prompts whose greedy answer ends within `max_new_tokens`, with it."""
    for first in range(0, len(prompts), _BATCH):
        part = list(prompts[first : first + _BATCH])
        texts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
            for prompt in part
        ]
        inputs = tokenizer(
            texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
        )
        generate: Any = model.generate
        outputs = generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
        for prompt, tokens in zip(part, outputs[:, inputs["input_ids"].shape[1] :], strict=True):
            answer = str(tokenizer.decode(tokens, skip_special_tokens=True)).strip()
            if answer and tokenizer.eos_token_id in tokens.tolist():
                yield prompt, answer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(
        description="Write a language model's own answers to general prompts, to train on.",
        epilog="Example: python -m videollm.train.general_answers --output runs/general.jsonl",
    )
    parser.add_argument("--output", type=Path, required=True, help="file to write, kept if there")
    parser.add_argument("--language_model", default=DEFAULT_LLM, help="name or folder")
    parser.add_argument("--max_new_tokens", type=int, default=256, help="longest answer in tokens")
    parser.add_argument("--limit", type=int, default=None, help="only the first so many prompts")
    args = parser.parse_args(argv)
    if args.output.is_file():
        print(args.output)
        return 0
    try:
        count = write_answers(
            args.output,
            language_model=args.language_model,
            max_new_tokens=args.max_new_tokens,
            prompts=general_prompts()[: args.limit],
        )
    except VideoLLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count} answers", file=sys.stderr)
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
