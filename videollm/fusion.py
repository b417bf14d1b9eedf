"""Put visual tokens where the text has placeholders.

Legend: B batch, L tokens, H LLM width.
"""

from torch import Tensor, nn

__all__ = ["fuse_visual_tokens"]


def fuse_visual_tokens(
    embedding: nn.Module, input_ids: Tensor, visual_tokens: Tensor | None, video_token_id: int
) -> Tensor:
    """Return the text's embeddings with visual tokens in place of placeholders.

    Args:
        embedding: The language model's word embedding.
        input_ids: (B, L).
        visual_tokens: (placeholders in all, H), in the order of the placeholders, row by row;
            None where there is no video.
        video_token_id: The placeholder; never looked up in `embedding`.

    Returns:
        (B, L, H) in the dtype of the word embeddings.

    Raises:
        ValueError: Placeholders and visual tokens differ in number.
    """
    is_video = input_ids == video_token_id
    num_places = int(is_video.sum())
    num_tokens = 0 if visual_tokens is None else visual_tokens.shape[0]
    if num_places != num_tokens:
        raise ValueError(
            f"the text has {num_places} video placeholders, the videos give {num_tokens} tokens: "
            "render the text and the frames with the same processor"
        )
    embedded = embedding(input_ids.masked_fill(is_video, 0))
    if visual_tokens is None:
        return embedded
    return embedded.masked_scatter(is_video[..., None], visual_tokens.to(embedded.dtype))
