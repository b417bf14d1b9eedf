"""From encoder features to K visual tokens a frame in the width of the language model.

Every projector of `PROJECTORS` makes any K from 1 to the number of patches, and another K in each
call: a memory may hold some frames in more tokens than others. `build_projector` makes the one that
a config names; `project_frames` gives each frame its own K.

Legend: T token frames, N patches per frame, K tokens per frame, D encoder width, H LLM width.
"""

import math
from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from videollm.config import VideoLLMConfig

__all__ = [
    "PROJECTORS",
    "LinearProjector",
    "PoolMLPProjector",
    "ResamplerProjector",
    "ToMeMLPProjector",
    "build_projector",
    "merge_similar",
    "pool_to",
    "project_frames",
]


def pool_to(features_TND: Tensor, num_tokens: int) -> Tensor:
    """Return (T, K, D): each frame's square grid of patches averaged over K cells.

    The cells stand in rows of equal height, as many as come nearest to the root of K; where K does
    not divide into them, the last rows have one cell more. For a square K it is a square grid.

    Args:
        features_TND: (T, N, D), patches in raster order.
        num_tokens: K, from 1 to N.

    Raises:
        ValueError: The grid is not square, or K is out of range.
    """
    num_patches = features_TND.shape[1]
    side = math.isqrt(num_patches)
    if side * side != num_patches:
        raise ValueError(f"frames have {num_patches} patches; pooling needs a square grid of them")
    _check_count(num_tokens, num_patches)
    grid_TDhw = rearrange(features_TND, "t (h w) d -> t d h w", h=side)
    num_rows = round(math.sqrt(num_tokens))
    columns, num_wider = divmod(num_tokens, num_rows)
    if not num_wider:
        pooled = functional.adaptive_avg_pool2d(grid_TDhw, (num_rows, columns))
        return rearrange(pooled, "t d h w -> t (h w) d")
    bands_TDhw = functional.adaptive_avg_pool2d(grid_TDhw, (num_rows, side))
    rows = [
        functional.adaptive_avg_pool1d(band_TDw, columns + (row >= num_rows - num_wider))
        for row, band_TDw in enumerate(bands_TDhw.unbind(2))
    ]
    return rearrange(torch.cat(rows, dim=2), "t d k -> t k d")


def merge_similar(features_TND: Tensor, num_tokens: int) -> Tensor:
    """Return (T, K, D): in each frame the most similar patches merged until K are left.

    In every round each even token finds its most similar odd one by cosine; of these pairs the
    most similar merge to their mean, weighted by the patches that each stands for. At most half
    of the tokens go in a round. What is left keeps the order of the frame.

    Args:
        features_TND: (T, N, D).
        num_tokens: K, from 1 to N.

    Raises:
        ValueError: K is out of range.

    Source: token merging (arXiv 2210.09461) with K given instead of a rate; the metric is the
    feature itself, as the encoder has no attention keys to offer.
    """
    _check_count(num_tokens, features_TND.shape[1])
    tokens, width = features_TND, features_TND.shape[2]
    sizes_TN1 = torch.ones_like(tokens[..., :1])
    places_TN = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape[:2])
    while tokens.shape[1] > num_tokens:
        num_merged = min(tokens.shape[1] - num_tokens, tokens.shape[1] // 2)
        unit = functional.normalize(tokens.float(), dim=-1)
        scores, partner = (unit[:, ::2] @ unit[:, 1::2].mT).max(dim=2)
        order = scores.argsort(dim=1, descending=True, stable=True)
        merged, kept = order[:, :num_merged], order[:, num_merged:]
        sums = torch.cat([tokens * sizes_TN1, sizes_TN1], dim=2)
        even, odd = sums[:, ::2], sums[:, 1::2]
        target = _rows(partner[..., None], merged)
        odd = odd.scatter_add(1, target.expand(-1, -1, width + 1), _rows(even, merged))
        sums = torch.cat([_rows(even, kept), odd], dim=1)
        places_TN = torch.cat([places_TN[:, ::2].gather(1, kept), places_TN[:, 1::2]], dim=1)
        places_TN, order = places_TN.sort(dim=1)
        sums = _rows(sums, order)
        tokens, sizes_TN1 = sums[..., :-1] / sums[..., -1:], sums[..., -1:]
    return tokens


class _CompressMLP(nn.Module):
    """Norm, compression of each frame to K tokens, two linear layers with GELU."""

    def __init__(self, config: VideoLLMConfig, compress: Callable[[Tensor, int], Tensor]) -> None:
        super().__init__()
        vision_size, text_size = config.vision.hidden_size, config.text.hidden_size
        self.num_tokens = config.tokens_per_frame
        self.compress = compress
        self.norm = nn.LayerNorm(vision_size)
        self.mlp = nn.Sequential(
            nn.Linear(vision_size, text_size), nn.GELU(), nn.Linear(text_size, text_size)
        )

    def forward(self, features_TND: Tensor, num_tokens: int | None = None) -> Tensor:
        """Return (T, K, H) for features (T, N, D); K is the config's, or `num_tokens`.

        Raises:
            ValueError: K does not fit the patches.
        """
        normed = self.norm(features_TND.to(self.norm.weight.dtype))
        count = self.num_tokens if num_tokens is None else num_tokens
        return self.mlp(self.compress(normed, count))


class PoolMLPProjector(_CompressMLP):
    """Pool each frame's grid of patches to K cells, then two linear layers with GELU.

    Args:
        config: Widths and K.

    Source: spatial pooling and MLP as in LLaVA-Video (LLaVA-VL/LLaVA-NeXT,
    `multimodal_projector`); the norms before and after are ours.
    """

    def __init__(self, config: VideoLLMConfig) -> None:
        super().__init__(config, pool_to)


class ToMeMLPProjector(_CompressMLP):
    """Merge each frame's most similar patches to K tokens, then two linear layers with GELU.

    Args:
        config: Widths and K.

    Source: OpenGVLab/VideoChat-Flash, `tome16_mlp_hd64`, which merges clips of 4 frames together;
    here each frame is merged alone, so that it keeps its time.
    """

    def __init__(self, config: VideoLLMConfig) -> None:
        super().__init__(config, merge_similar)


class ResamplerProjector(nn.Module):
    """Let K learned queries look at each frame's patches, then two linear layers with GELU.

    With fewer tokens than the config's the first queries are asked.

    Args:
        config: Widths, heads and K.

    Source: the Perceiver resampler (Flamingo, arXiv 2204.14198) with one layer, over one frame.
    """

    def __init__(self, config: VideoLLMConfig) -> None:
        super().__init__()
        vision, text_size = config.vision, config.text.hidden_size
        size = vision.hidden_size
        self.num_heads = vision.num_attention_heads
        self.queries = nn.Parameter(torch.randn(config.tokens_per_frame, size) * size**-0.5)
        self.norm = nn.LayerNorm(size)
        self.query = nn.Linear(size, size)
        self.key_value = nn.Linear(size, 2 * size)
        self.output = nn.Linear(size, size)
        self.output_norm = nn.LayerNorm(size)
        self.mlp = nn.Sequential(
            nn.Linear(size, text_size), nn.GELU(), nn.Linear(text_size, text_size)
        )

    def forward(self, features_TND: Tensor, num_tokens: int | None = None) -> Tensor:
        """Return (T, K, H) for features (T, N, D); K is the config's, or `num_tokens` below it.

        Raises:
            ValueError: There are fewer queries than K.
        """
        count = len(self.queries) if num_tokens is None else num_tokens
        if not 1 <= count <= len(self.queries):
            raise ValueError(f"{count} tokens a frame; the resampler has {len(self.queries)}")
        normed = self.norm(features_TND.to(self.norm.weight.dtype))
        asked = self.queries[:count].expand(len(normed), -1, -1)
        query, key, value = (
            rearrange(part, "t n (h d) -> t h n d", h=self.num_heads)
            for part in (self.query(asked), *self.key_value(normed).chunk(2, dim=-1))
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        mixed = asked + self.output(rearrange(seen, "t h k d -> t k (h d)"))
        return self.mlp(self.output_norm(mixed))


class LinearProjector(nn.Module):
    """Pool each frame's grid of patches to K cells, then one linear layer.

    Args:
        config: Widths and K; with as many tokens as patches nothing is pooled.

    Source: LLaVA (arXiv 2304.08485), with pooling and a norm before it.
    """

    def __init__(self, config: VideoLLMConfig) -> None:
        super().__init__()
        self.num_tokens = config.tokens_per_frame
        self.norm = nn.LayerNorm(config.vision.hidden_size)
        self.linear = nn.Linear(config.vision.hidden_size, config.text.hidden_size)

    def forward(self, features_TND: Tensor, num_tokens: int | None = None) -> Tensor:
        """Return (T, K, H) for features (T, N, D); K is the config's, or `num_tokens`.

        Raises:
            ValueError: K does not fit the patches.
        """
        normed = self.norm(features_TND.to(self.norm.weight.dtype))
        return self.linear(pool_to(normed, self.num_tokens if num_tokens is None else num_tokens))


PROJECTORS: dict[str, Callable[[VideoLLMConfig], nn.Module]] = {
    "pool_mlp": PoolMLPProjector,
    "tome_mlp": ToMeMLPProjector,
    "resampler": ResamplerProjector,
    "linear": LinearProjector,
}


def build_projector(config: VideoLLMConfig) -> nn.Module:
    """Return the projector that `config.projector_type` names, with fresh weights."""
    return PROJECTORS[config.projector_type](config)


def project_frames(
    projector: nn.Module, features_TND: Tensor, counts: Sequence[int]
) -> list[Tensor]:
    """Return for each frame its (K, H), every frame with its own K.

    Args:
        projector: Any of `PROJECTORS`.
        features_TND: (T, N, D).
        counts: K of each frame.

    Raises:
        ValueError: There is not one count for each frame, or one does not fit.
    """
    if len(counts) != len(features_TND):
        raise ValueError(f"{len(counts)} token counts for {len(features_TND)} frames")
    tokens: dict[int, Tensor] = {}
    for count in set(counts):
        frames = [frame for frame, own in enumerate(counts) if own == count]
        tokens |= dict(zip(frames, projector(features_TND[frames], count), strict=True))
    return [tokens[frame] for frame in range(len(counts))]


def _check_count(num_tokens: int, num_patches: int) -> None:
    if not 1 <= num_tokens <= num_patches:
        raise ValueError(
            f"{num_tokens} tokens a frame; a frame has {num_patches} patches: give 1 to that many"
        )


def _rows(tokens_TND: Tensor, index_TK: Tensor) -> Tensor:
    """Return the tokens (T, K, D) at these places of each frame."""
    return tokens_TND.gather(1, index_TK[..., None].expand(-1, -1, tokens_TND.shape[2]))
