"""A prompt in the language model's cache, reused up to where the next prompt differs.

Every position of a prompt has a key that says what stands there: the id of a word, or which frames
a visual token stands for. A new prompt keeps of the cache what has the same keys from the start on;
only the rest is computed, in chunks, so that what is held beside the cache does not grow with it.

Legend: L tokens of a prompt, H LLM width.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from videollm.kv_cache import build_cache, cache_argument, cache_bytes, can_cut
from videollm.model import VideoLLMForConditionalGeneration

__all__ = ["Prompt", "PromptCache"]


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Prompt:
    """Hold what the language model reads.

    Args:
        embeddings: (1, L, H), in the language model's number format.
        keys: L keys; equal keys at the same place stand for equal embeddings.
        visual_tokens: How many of them are visual.
    """

    embeddings: Tensor
    keys: Sequence[Hashable]
    visual_tokens: int


class PromptCache:
    """Hold the cache of the last prompt.

    Args:
        model: Whose language model reads.
        kind: One of `videollm.kv_cache.CACHE_KINDS`. What is stored in fewer bits cannot be cut
            off, so that only a prompt that goes on where the last one ended reuses it.
        chunk_tokens: The most tokens that are read at once.
    """

    def __init__(
        self, model: VideoLLMForConditionalGeneration, *, kind: str, chunk_tokens: int
    ) -> None:
        self._model = model
        self._kind = kind
        self._chunk_tokens = chunk_tokens
        self._cache: Cache | None = None
        self._keys: list[Hashable] = []

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values held."""
        return cache_bytes(self._cache)

    def clear(self) -> None:
        """Let go of everything."""
        self._cache, self._keys = None, []

    def num_reusable(self, prompt: Prompt) -> int:
        """Return how many tokens of a prompt need not be computed."""
        if self._cache is None:
            return 0
        # The last token is always read: its successor is what is asked for.
        most = min(len(self._keys), len(prompt.keys) - 1)
        pairs = zip(self._keys[:most], prompt.keys[:most], strict=True)
        same = next((place for place, (old, new) in enumerate(pairs) if old != new), most)
        ends_there = self._cache.get_seq_length() == same
        return same if ends_there or can_cut(self._cache) else 0

    @torch.inference_mode()
    def read(
        self, prompt: Prompt, *, is_stopped: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        """Read all of a prompt but its last token, and return the arguments of `generate`.

        Args:
            prompt: The prompt.
            is_stopped: Asked before every chunk; once true, nothing more is read.
        """
        reused = self.num_reusable(prompt)
        if self._cache is None or not reused:
            self._cache = build_cache(self._kind, self._model.config.text)
        elif surplus := self._cache.get_seq_length() - reused:
            self._cache.crop(-surplus)
        self._keys = list(prompt.keys[:reused])
        decoder = self._model.language_model.get_decoder()
        end = len(prompt.keys) - 1
        try:
            while len(self._keys) < end and not is_stopped():
                start = len(self._keys)
                stop = min(start + self._chunk_tokens, end)
                decoder(
                    inputs_embeds=prompt.embeddings[:, start:stop],
                    use_cache=True,
                    **{cache_argument(): self._cache},
                )
                self._keys += prompt.keys[start:stop]
        except BaseException:
            self.clear()
            raise
        length = len(prompt.keys)
        mask = torch.ones(1, length, dtype=torch.long, device=prompt.embeddings.device)
        return {
            "inputs_embeds": prompt.embeddings,
            "attention_mask": mask,
            cache_argument(): self._cache,
        }
