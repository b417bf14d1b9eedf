"""A teacher's features on disk, so that they are computed once.

A cache is a folder: `index.json` says whose features they are and of what, shards in safetensors
hold them. Features are kept in half precision, attention in single.

Legend: S tubelets, N patches of a frame, F width of a feature.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from videollm.encoder.teacher import TeacherOutput
from videollm.errors import DataError

__all__ = ["CacheInfo", "CachedFeatures", "FeatureWriter"]

INDEX_FILE = "index.json"
_VERSION = 1
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheInfo:
    """Hold what a cache's features are of.

    Args:
        teacher: Name of the model that was asked.
        dataset: "videos" or "toyworld", with its seed.
        num_frames: Frames of a clip.
        tubelet_size: Frames that share a feature.
        grid_size: Patches of a side.
        feature_size: F.
        can_guide: Whether the attention says where the teacher looks.
    """

    teacher: str
    dataset: str
    num_frames: int
    tubelet_size: int
    grid_size: int
    feature_size: int
    can_guide: bool


class FeatureWriter:
    """Write a cache, shard by shard; the index comes last, so a half-written cache is none.

    Shards that an interrupted writer left are kept: their clips are known and not asked for again.

    Args:
        folder: Where; created, must hold no finished cache.
        info: What the features are of.
        shard_mib: Size of a shard in MiB.

    Raises:
        DataError: There is a finished cache, or the beginning of another one.
    """

    def __init__(self, folder: Path, info: CacheInfo, *, shard_mib: int = 256) -> None:
        if (folder / INDEX_FILE).exists():
            raise DataError(f"{folder} holds a cache already: remove it or name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._info = info
        self._limit = shard_mib * _MIB
        self._samples: dict[str, tuple[str, int]] = {}
        self._names: list[str] = []
        self._tensors: dict[str, Tensor] = {}
        self._size = 0
        self._number = 0
        for path in sorted(folder.glob("features-*.safetensors")):
            self._take_over(path)

    def __contains__(self, name: str) -> bool:
        return name in self._samples

    def add(self, name: str, features: Tensor, attention: Tensor) -> None:
        """Add a clip; one that is there already stays as it is.

        Args:
            name: Of its sample, as the data set calls it.
            features: (S, N, F).
            attention: (S, N).
        """
        if name in self._samples:
            return
        row = len(self._names)
        self._samples[name] = (self._shard_name, row)
        self._names.append(name)
        self._tensors[f"{row}.features"] = features.to("cpu", torch.float16).contiguous()
        self._tensors[f"{row}.attention"] = attention.to("cpu", torch.float32).contiguous()
        self._size += 2 * features.numel() + 4 * attention.numel()
        if self._size >= self._limit:
            self._flush()

    def close(self) -> int:
        """Write what is left and the index; return the number of clips."""
        self._flush()
        index = {"format": _VERSION, **asdict(self._info), "samples": self._samples}
        draft = self._folder / f"{INDEX_FILE}.part"
        draft.write_text(json.dumps(index) + "\n", encoding="utf-8")
        os.replace(draft, self._folder / INDEX_FILE)
        return len(self._samples)

    @property
    def _shard_name(self) -> str:
        return f"features-{self._number:05d}.safetensors"

    def _flush(self) -> None:
        if self._names:
            draft = self._folder / f"{self._shard_name}.part"
            told = {"names": json.dumps(self._names), "info": json.dumps(asdict(self._info))}
            save_file(self._tensors, draft, metadata=told)
            os.replace(draft, self._folder / self._shard_name)
            self._names, self._tensors, self._size = [], {}, 0
            self._number += 1

    def _take_over(self, path: Path) -> None:
        with safe_open(path, framework="pt") as file:
            told = file.metadata()
        if json.loads(told["info"]) != asdict(self._info):
            raise DataError(
                f"{path} is of another recipe or teacher: remove it or name another folder"
            )
        names = json.loads(told["names"])
        self._samples |= {name: (path.name, row) for row, name in enumerate(names)}
        self._number = int(path.stem.removeprefix("features-")) + 1


class CachedFeatures:
    """Read a cache; shards are mapped, not loaded, in whatever process asks.

    Args:
        folder: Of the cache.

    Raises:
        DataError: There is no complete cache, or one of another version.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / INDEX_FILE
        if not path.is_file():
            raise DataError(
                f"teacher_cache: {folder} holds no {INDEX_FILE}: write it with `videollm features`"
            )
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if index.pop("format", None) != _VERSION:
            raise DataError(f"teacher_cache: {path} is not of format {_VERSION}: write it again")
        self._samples: Mapping[str, tuple[str, int]] = index.pop("samples")
        self.info = CacheInfo(**index)
        self.folder = folder

    def __len__(self) -> int:
        return len(self._samples)

    def __contains__(self, name: str) -> bool:
        return name in self._samples

    def check(self, wanted: CacheInfo) -> None:
        """Refuse a cache of other clips or another grid; whose features they are is its own.

        Raises:
            DataError: A field differs; the message names it, with both values.
        """
        for key, value in asdict(wanted).items():
            if key in ("teacher", "feature_size", "can_guide"):
                continue
            found = getattr(self.info, key)
            if found != value:
                raise DataError(
                    f"teacher_cache: {self.folder} has {key} {found}, this run {value}: write "
                    "a cache with the same recipe, or change the recipe"
                )

    def read(self, name: str) -> TeacherOutput:
        """Return the features (S, N, F) and attention (S, N) of a sample, in float32.

        Raises:
            DataError: The cache does not hold it.
        """
        if name not in self._samples:
            raise DataError(f"teacher_cache: {self.folder} has nothing of {name}: write it again")
        shard, row = self._samples[name]
        with safe_open(self.folder / shard, framework="pt") as file:
            features = file.get_tensor(f"{row}.features").float()
            return TeacherOutput(features, file.get_tensor(f"{row}.attention"))
