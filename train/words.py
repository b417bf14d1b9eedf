"""Aligning visual tokens with words: a target for each token in the language model's own space.

A token's target is the sum of the word embeddings of what its region holds. A projector trained
so speaks the language model's vocabulary before the language model has seen a single frame.

Legend: B clips, S token frames, K tokens of a frame, W words, H LLM width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from videollm.errors import ModelError
from videollm.model import VideoLLMForConditionalGeneration
from videollm.toyworld.vocabulary import FEATURE_WORDS
from videollm.train.parts import keep_evaluating

__all__ = ["EMPTY_WORD", "WordAlignment", "WordAlignmentOutput", "word_embeddings"]

EMPTY_WORD = "nothing"
"""What a region without objects is called."""


def word_embeddings(
    embedding: nn.Module, tokenizer: PreTrainedTokenizerBase, words: Sequence[str]
) -> Tensor:
    """Return one embedding for each word, (W, H) in float32: the mean of its tokens'.

    Args:
        embedding: The language model's word embedding.
        tokenizer: Its tokenizer.
        words: Words as they stand inside a sentence, after a blank.

    Raises:
        ModelError: A word has no tokens.
    """
    rows = []
    for word in words:
        ids = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        if not ids:
            raise ModelError(f"the tokenizer has no token for {word!r}: choose another LLM")
        with torch.no_grad():
            rows.append(embedding(torch.tensor(ids)).float().mean(dim=0))
    return torch.stack(rows)


@dataclass
class WordAlignmentOutput(ModelOutput):
    """Losses of one batch.

    Args:
        loss: (), the weighted sum.
        cosine_loss: (), mean of 1 - cos over tokens.
        norm_loss: (), mean squared error relative to the targets' mean square.
    """

    loss: Tensor | None = None
    cosine_loss: Tensor | None = None
    norm_loss: Tensor | None = None


class WordAlignment(nn.Module):
    """A frozen encoder and a projector that learns to name what it sees.

    Args:
        model: Its encoder and projector are shared, its word embeddings are copied.
        tokenizer: The language model's.
        norm_weight: Weight of the squared error beside the cosine.
    """

    def __init__(
        self,
        model: VideoLLMForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        *,
        norm_weight: float,
    ) -> None:
        super().__init__()
        self.vision_model = model.vision_model
        self.projector = model.projector
        self.norm_weight = norm_weight
        words = word_embeddings(model.get_input_embeddings(), tokenizer, _WORDS)
        self.word_table: Tensor
        self.register_buffer("word_table", words, persistent=False)
        keep_evaluating(self.vision_model)

    def forward(self, pixel_values: Tensor, words: Tensor, weights: Tensor) -> WordAlignmentOutput:
        """Return the losses of one batch.

        Args:
            pixel_values: (B, frames, 3, height, width), float, normalised.
            words: (B, S, K, W), how much of each word belongs to each token.
            weights: (B, S, K), how much each token counts, mean 1.
        """
        encoded = self.vision_model(pixel_values).last_hidden_state
        features = encoded.unflatten(1, (words.shape[1], -1))
        projected = self.projector(features.flatten(0, 1)).float()
        target = (words @ self.word_table).flatten(0, 1)
        counted = weights.flatten(0, 1)
        cosine = 1.0 - nn.functional.cosine_similarity(projected, target, dim=-1)
        squared = (projected - target).square().mean(dim=-1) / target.square().mean()
        cosine_loss, norm_loss = (cosine * counted).mean(), (squared * counted).mean()
        return WordAlignmentOutput(
            loss=cosine_loss + self.norm_weight * norm_loss,
            cosine_loss=cosine_loss.detach(),
            norm_loss=norm_loss.detach(),
        )


_WORDS = (*FEATURE_WORDS, EMPTY_WORD)
