"""Supervised is what the assistant says, and its end of turn, whatever the chat template."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from tests.conftest import CHAT_TEMPLATE
from videollm.clip import Clip
from videollm.errors import ModelError
from videollm.llm import load_tokenizer
from videollm.processor import VideoLLMProcessor
from videollm.train.collate import IGNORED, PackingCollator, tokenize
from videollm.train.examples import Dialogue, Example

LLAMA_2 = (
    "{% set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}"
    "{% for m in messages %}{% if m['role'] == 'user' %}<s>[INST] "
    "{% if system and loop.index0 == 1 %}<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}"
    "{{ m['content'] | trim }} [/INST]{% elif m['role'] == 'assistant' %}"
    " {{ m['content'] | trim }} </s>{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "<|begin|>{% for m in messages %}<|head|>{{ m['role'] }}<|/head|>\n\n"
    "{{ m['content'] | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
)
QWEN_2 = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    + CHAT_TEMPLATE
)
# Thoughts stand before the last answer only.
QWEN_3 = CHAT_TEMPLATE.replace(
    "{{ message['content'] }}",
    "{% if loop.last and message['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ message['content'] }}",
)
NO_END = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}" + (
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
COUNTING = "{{ messages | length }}{% for m in messages %}[{{ m['content'] }}]{% endfor %}"

# What each answer becomes, the last one apart.
TEMPLATES = {
    "chatml": (CHAT_TEMPLATE, "{}<|im_end|>", "{}<|im_end|>"),
    "llama-2": (LLAMA_2, " {} </s>", " {} </s>"),
    "llama-3": (LLAMA_3, "{}<|eot|>", "{}<|eot|>"),
    "qwen-2": (QWEN_2, "{}<|im_end|>", "{}<|im_end|>"),
    "qwen-3": (QWEN_3, "{}<|im_end|>", "<think>\n\n</think>\n\n{}<|im_end|>"),
    "no end": (NO_END, "{}\n", "{}\n"),
    "counting": (COUNTING, "{}", "{}"),
}


@pytest.fixture(scope="module")
def tokenizer(tiny_llm: Path) -> PreTrainedTokenizerBase:
    tokenizer = load_tokenizer(str(tiny_llm))
    names = ("<s>", "</s>", "<|begin|>", "<|head|>", "<|/head|>", "<|eot|>")
    tokens = [AddedToken(name, special=True) for name in names]
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    return tokenizer


def processor_with(tokenizer: PreTrainedTokenizerBase, template: str) -> VideoLLMProcessor:
    return VideoLLMProcessor(tokenizer, tokens_per_frame=4, chat_template=template)


def clip(num_frames: int) -> Clip:
    frames = torch.zeros(num_frames, 3, 8, 8, dtype=torch.uint8)
    return Clip(frames, torch.arange(num_frames, dtype=torch.float64))


def user(text: str, num_videos: int = 0) -> dict[str, Any]:
    videos = [{"type": "video"}] * num_videos
    return {"role": "user", "content": [*videos, {"type": "text", "text": text}]}


def answer(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": "red, he said"}
CHATS: dict[str, tuple[Dialogue, int]] = {
    "text": ((user("What is it? red"), answer("red")), 0),
    "system": ((SYSTEM, user("a", 1), answer("b c")), 1),
    "turns": ((user("a", 1), answer("b"), user("b"), answer("c"), user("d"), answer("b")), 1),
    "media": ((user("a", 2), answer("b"), user("c"), answer("d"), user("e", 1), answer("b")), 3),
}


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_supervised_tokens_are_the_assistants(
    name: str, chat: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    template, earlier, last = TEMPLATES[name]
    processor = processor_with(tokenizer, template)
    dialogue, num_videos = CHATS[chat]
    videos = tuple(clip(number + 2) for number in range(num_videos))
    answers = [turn["content"] for turn in dialogue if turn["role"] == "assistant"]
    tokens = tokenize(processor, dialogue, videos)
    kept = [label for label in tokens.labels if label != IGNORED]
    forms = [earlier] * (len(answers) - 1) + [last]
    expected = "".join(form.format(text) for form, text in zip(forms, answers, strict=True))
    assert processor.tokenizer.decode(kept) == expected
    pairs = zip(tokens.labels, tokens.input_ids, strict=True)
    assert all(label in (IGNORED, own) for label, own in pairs)
    # A row keeps them all, the answers that stand before the last clip included.
    batch = PackingCollator(processor=processor, max_length=4096)([Example(videos, (dialogue,))])
    assert batch["labels"][0].tolist() == tokens.labels


@pytest.mark.parametrize("name", sorted(set(TEMPLATES) - {"counting"}))
def test_the_prompt_of_the_last_answer_is_not_supervised(
    name: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    processor = processor_with(tokenizer, TEMPLATES[name][0])
    dialogue = CHATS["turns"][0]
    tokens = tokenize(processor, dialogue, (clip(2),))
    prompt = processor.render(dialogue[:-1], (clip(2),), add_generation_prompt=True)
    length = len(processor.tokenizer(prompt, add_special_tokens=False)["input_ids"])
    assert tokens.labels[length - 1] == IGNORED
    assert tokens.labels[length] == tokens.input_ids[length]


def test_a_template_that_changes_answers_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    template = (
        "{{ messages | length }}{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    )
    processor = processor_with(tokenizer, template)
    with pytest.raises(ModelError, match="chat template does not show an answer as it is"):
        tokenize(processor, CHATS["text"][0])
