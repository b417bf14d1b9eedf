"""Aligning visual tokens with words: a target for each token in the language model's own space.

A token's target is the mean word embedding m plus what sets each word of its region apart from the
others of its group: m + sum over words w of (e_w - g_w), where g_w is the mean over all colours for
a colour, over all shapes for a shape, and so on. Embeddings share a large m, and those of a group
point the same way besides: in a plain sum it would hardly show which colour it is. A projector
trained so speaks the language model's vocabulary before that has seen a single frame
(`python -m benchmarks.word_targets` asks it so).

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
from videollm.train.parts import keep_evaluating
from videollm.train.scene_targets import PLACE_WORDS, region_vocabulary
from videollm.worlds import World

__all__ = ["WordAlignment", "WordAlignmentOutput", "word_directions", "word_embeddings"]


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


def word_directions(words: Tensor, mean: Tensor, world: World) -> Tensor:
    """Return (W, H): what each word of `region_vocabulary` adds to a token that shows it.

    Args:
        words: (W, H), the embeddings of these words.
        mean: (H,), of all words of the language model.
        world: Whose words they are. Places are a group of their own; "nothing", which is none,
            is set apart from the mean.
    """
    places = slice(len(words) - len(PLACE_WORDS), len(words))
    directions = words - mean
    for group in (*world.word_groups, places):
        directions[group] -= directions[group].mean(dim=0)
    return directions


@dataclass
class WordAlignmentOutput(ModelOutput):
    """Losses of one batch.

    Args:
        loss: (), the weighted sum.
        cosine_loss: (), mean of 1 - cos over tokens, both without the mean embedding.
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
        place_weight: Weight of the words for a token's place among its words.
        world: Whose words they are.
    """

    def __init__(
        self,
        model: VideoLLMForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        *,
        norm_weight: float,
        place_weight: float,
        world: World,
    ) -> None:
        super().__init__()
        self.vision_model = model.vision_model
        # What weights are shared by (FSDP): a layer.
        self._no_split_modules = model.vision_model._no_split_modules
        self.projector = model.projector
        self.norm_weight = norm_weight
        embedding = model.get_input_embeddings()
        weight = embedding.weight
        assert isinstance(weight, Tensor)
        mean = weight.detach().float().mean(dim=0)
        words = word_embeddings(embedding, tokenizer, region_vocabulary(world))
        words = word_directions(words, mean, world)
        words[-len(PLACE_WORDS) :] *= place_weight
        self.mean: Tensor
        self.words: Tensor
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("words", words, persistent=False)
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
        projected = self.projector(features.flatten(0, 1)).float() - self.mean
        target = (words @ self.words).flatten(0, 1)
        counted = weights.flatten(0, 1)
        cosine = 1.0 - nn.functional.cosine_similarity(projected, target, dim=-1)
        squared = (projected - target).square().mean(dim=-1) / target.square().mean()
        cosine_loss, norm_loss = (cosine * counted).mean(), (squared * counted).mean()
        return WordAlignmentOutput(
            loss=cosine_loss + self.norm_weight * norm_loss,
            cosine_loss=cosine_loss.detach(),
            norm_loss=norm_loss.detach(),
        )
