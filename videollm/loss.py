"""The supervised loss: cross-entropy of labelled positions, the head applied to those alone.

Legend: B batch, L tokens, H LLM width, M supervised positions, V vocabulary.
"""

from torch import Tensor, nn

__all__ = ["supervised_loss"]


def supervised_loss(
    hidden: Tensor, labels: Tensor, head: nn.Module, num_items: Tensor | int | None
) -> tuple[Tensor, Tensor]:
    """Return the loss and the logits (M, V), in fp32, of the supervised positions.

    Args:
        hidden: (B, L, H), the language model's last hidden states.
        labels: (B, L), the token that stands at each position, -100 where none is supervised;
            position l is predicted from l - 1.
        head: From H to V.
        num_items: Supervised tokens of the whole batch, over accumulation steps and processes;
            the loss is their mean. None: those of `labels`.
    """
    wanted = labels[:, 1:]
    supervised = wanted != -100
    logits = head(hidden[:, :-1][supervised]).float()
    total = nn.functional.cross_entropy(logits, wanted[supervised], reduction="sum")
    count = num_items if num_items is not None else int(supervised.sum())
    return total / max(count, 1), logits
