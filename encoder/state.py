"""What a frame-causal encoder remembers between two chunks of a video.

The state is explicit, of constant size, and knows how to be sized, moved, cloned and saved.

Legend: B batch, E inner width of a Mamba layer, S states, N patches per frame, H heads,
W attention window in frames.
"""

import os
from dataclasses import dataclass
from typing import TypeAlias

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["AttentionState", "LayerState", "MambaState", "VideoMAPState"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MambaState:
    """What one Mamba layer carries forward.

    Args:
        conv: (B, E, conv_kernel - 1), the last inputs of the causal convolution.
        scan: (B, E, S), fp32, the state of the forward scan.
    """

    conv: Tensor
    scan: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionState:
    """What one Transformer layer carries forward.

    Args:
        key: (B, H, W - 1, N, head size), keys of the last frames, oldest first.
        value: Likewise, values. Frames before the first are zeros and masked.
    """

    key: Tensor
    value: Tensor


LayerState: TypeAlias = MambaState | AttentionState


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoMAPState:
    """All that `VideoMAPModel.encode` needs to read on.

    Args:
        layers: One state a layer, in order.
        frames_seen: Token frames (frames / tubelet_size) read so far.
    """

    layers: tuple[LayerState, ...]
    frames_seen: int

    @property
    def nbytes(self) -> int:
        """Bytes held; the same however many frames were read."""
        return sum(tensor.nbytes for tensor in self.to_tensors().values())

    def to(
        self,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> "VideoMAPState":
        """Return this state on `device`, its inexact tensors in `dtype`.

        The scan state stays in its own precision (fp32 or fp64), as every scan needs it.
        """

        def move(name: str, tensor: Tensor) -> Tensor:
            keeps_dtype = dtype is None or name.endswith("scan")
            return tensor.to(device=device, dtype=None if keeps_dtype else dtype)

        moved = {name: move(name, value) for name, value in self.to_tensors().items()}
        return self.from_tensors(moved, frames_seen=self.frames_seen)

    def check(self, num_layers: int, num_clips: int, tokens_per_frame: int) -> None:
        """Raise if this state cannot be read on with such a chunk.

        Raises:
            ValueError: The number of layers, clips or patches a frame is another.
        """
        tensors = self.to_tensors()
        clips = {tensor.shape[0] for tensor in tensors.values()}
        patches = {tensors[name].shape[3] for name in tensors if name.endswith("key")}
        found = (len(self.layers), *clips, *(patches or {tokens_per_frame}))
        if found != (num_layers, num_clips, tokens_per_frame):
            raise ValueError(
                f"the state has {found} layers, clips and patches a frame; this chunk needs "
                f"{(num_layers, num_clips, tokens_per_frame)}: start another video with None"
            )

    def clone(self) -> "VideoMAPState":
        """Return a copy that shares no memory with this state."""
        copies = {name: value.clone() for name, value in self.to_tensors().items()}
        return self.from_tensors(copies, frames_seen=self.frames_seen)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write this state to one safetensors file."""
        tensors = {name: value.contiguous() for name, value in self.to_tensors().items()}
        save_file(tensors, path, metadata={"frames_seen": str(self.frames_seen)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "VideoMAPState":
        """Read a state that `save` wrote.

        Raises:
            ValueError: The file is not an encoder state.
        """
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if "frames_seen" not in metadata:
            raise ValueError(f"{path} is not an encoder state: it has no frames_seen")
        return cls.from_tensors(tensors, frames_seen=int(metadata["frames_seen"]))

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], *, frames_seen: int) -> "VideoMAPState":
        """Return the state whose `to_tensors` gave these."""
        kinds: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, field = name.split(".")
            kinds.setdefault(int(index), {})[field] = tensor
        layers = tuple(_layer_state(kinds[index]) for index in sorted(kinds))
        return cls(layers=layers, frames_seen=frames_seen)

    def to_tensors(self) -> dict[str, Tensor]:
        """Return every tensor by its name, "LAYER.FIELD"."""
        tensors: dict[str, Tensor] = {}
        for index, layer in enumerate(self.layers):
            if isinstance(layer, MambaState):
                tensors |= {f"{index}.conv": layer.conv, f"{index}.scan": layer.scan}
            else:
                tensors |= {f"{index}.key": layer.key, f"{index}.value": layer.value}
        return tensors


def _layer_state(fields: dict[str, Tensor]) -> LayerState:
    if "scan" in fields:
        return MambaState(**fields)
    return AttentionState(**fields)
