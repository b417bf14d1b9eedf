"""Compare what a tuned model says without any video with what its language model said before.

python -m benchmarks.text_answers --model FOLDER [--limit 50] [--output FOLDER]

Fifty prompts that are in no training data of ours are answered greedily by both. Reported are the
words that both answers share (F1, median), and how much less likely, per token, the language
model's own answer has become. The law: no more answers that go round in circles than before.
"""

import argparse
import re
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.measure import save
from videollm.api import VideoLLM
from videollm.likelihood import score_continuations
from videollm.llm import DEFAULT_LLM, load_language_model, load_tokenizer
from videollm.train.general_answers import answer_prompts

MAX_TOKENS = 160
_CIRCLE, _ROUNDS = 4, 4
PROMPTS = (
    "Why does ice float on water?",
    "What is the largest ocean?",
    "Who invented the telephone?",
    "What does a carpenter do?",
    "How many sides does a hexagon have?",
    "What is the chemical symbol of gold?",
    "Name a bird that cannot fly.",
    "What is the capital of Portugal?",
    "Give me a sentence with the word island.",
    "What is the past tense of bring?",
    "Why do we have leap years?",
    "What is a volcano?",
    "How do I keep bread fresh?",
    "Write a short greeting for a new colleague.",
    "What is the boiling point of water in degrees Celsius?",
    "Name two instruments of an orchestra.",
    "What is 8 times 7?",
    "What is half of 90?",
    "Which is longer, a mile or a kilometre?",
    "What is a metaphor?",
    "Tell me about the Roman Empire in two sentences.",
    "What do plants need to grow?",
    "How do I clean a window without streaks?",
    "What is the plural of mouse?",
    "Name a country in South America.",
    "What is a hypothesis?",
    "Why is the sea salty?",
    "Who wrote Don Quixote?",
    "What is a compass used for?",
    "Write a one-sentence description of a castle.",
    "What is the opposite of victory?",
    "How many continents are there?",
    "What is the freezing point of water in Fahrenheit?",
    "Give me an idea for a birthday present.",
    "What is a democracy?",
    "How does a magnet work?",
    "What colour do you get from red and yellow?",
    "What is the function of the heart?",
    "Name three things that fly.",
    "Write a two-line poem about the night.",
    "What is a computer programme?",
    "What is the difference between a lake and a river?",
    "Which animal is known for its long neck?",
    "How can I save water at home?",
    "What is the sum of 23 and 19?",
    "What is a synonym of happy?",
    "Why do people dream?",
    "Explain what a recipe is.",
    "What language is spoken in Brazil?",
    "Say something kind.",
)


def main(argv: list[str] | None = None) -> int:
    """Ask both, print, write; return 1 if the law is broken."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--language_model", default=DEFAULT_LLM)
    parser.add_argument("--limit", type=int, default=len(PROMPTS))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    results = compare(options.model, options.language_model, PROMPTS[: options.limit])
    print({name: value for name, value in results.items() if name != "examples"})
    print(save(options.output, "text_answers", results, ["benchmarks.text_answers", *arguments]))
    return 0 if results["laws_hold"] else 1


def compare(name: str, language_model: str, prompts: Sequence[str]) -> dict[str, Any]:
    """Return how far a model's answers without video are from its language model's.

    Args:
        name: The tuned model, as `VideoLLM.from_pretrained` takes it.
        language_model: Name or folder of the one that it was made from.
        prompts: What to ask both.
    """
    tokenizer = load_tokenizer(language_model)
    base = load_language_model(language_model, dtype=torch.float32, device="cpu")
    before = dict(answer_prompts(base, tokenizer, prompts, MAX_TOKENS))
    asked = list(before)
    was = [own_likelihood(base, tokenizer, prompt, before[prompt]) for prompt in asked]
    tuned = VideoLLM.from_pretrained(name)
    answers = tuned.batch([None] * len(asked), asked, max_new_tokens=MAX_TOKENS)
    after = dict(zip(asked, answers, strict=True))
    scored = score_continuations(
        tuned, [None] * len(asked), asked, [[before[prompt]] for prompt in asked]
    )
    drops = [old - new[0].mean for old, new in zip(was, scored, strict=True)]
    circles = [sum(map(goes_round, side.values())) for side in (before, after)]
    return {
        "prompts": len(prompts),
        "ended_within_tokens": len(asked),
        "median_overlap": round(statistics.median(overlap(before[p], after[p]) for p in asked), 4),
        "median_nats_lost_per_token": round(statistics.median(drops), 4),
        "go_round_before": circles[0],
        "go_round_after": circles[1],
        "laws_hold": circles[1] <= circles[0],
        "examples": [{"prompt": p, "before": before[p], "after": after[p]} for p in asked[::10]],
    }


def own_likelihood(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str
) -> float:
    """Return the mean log-probability per token of a language model's answer to a prompt."""
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    encode: Any = tokenizer
    start, rest = (
        encode(part, add_special_tokens=False, return_tensors="pt")["input_ids"]
        for part in (text, answer)
    )
    with torch.inference_mode():
        logits = model(input_ids=torch.cat([start, rest], dim=1)).logits
    logs = torch.log_softmax(logits[0, start.shape[1] - 1 : -1].float(), dim=-1)
    return float(logs.gather(1, rest[0][:, None]).mean())


def overlap(one: str, other: str) -> float:
    """Return the F1 score of the words of two texts, from 0 to 1."""
    counts = [Counter(re.findall(r"\w+", text.lower())) for text in (one, other)]
    common = (counts[0] & counts[1]).total()
    return 2 * common / max(1, counts[0].total() + counts[1].total())


def goes_round(text: str) -> bool:
    """Return whether a text says nothing, or the same four words in a row four times."""
    words = re.findall(r"\w+", text.lower())
    runs = Counter(zip(*(words[k:] for k in range(_CIRCLE)), strict=False))
    return not words or max(runs.values(), default=0) >= _ROUNDS


if __name__ == "__main__":
    sys.exit(main())
