"""A cache of features gives back what was put in, and says what does not fit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from videollm.errors import DataError
from videollm.train.feature_cache import CachedFeatures, CacheInfo, FeatureWriter

INFO = CacheInfo(
    teacher="some/clip",
    dataset="videos",
    num_frames=4,
    tubelet_size=2,
    grid_size=3,
    feature_size=5,
    can_guide=True,
)


def write(folder: Path, clips: int = 7, *, shard_mib: int = 1) -> dict[str, torch.Tensor]:
    writer = FeatureWriter(folder, INFO, shard_mib=shard_mib)
    features = {f"clip {index}": torch.randn(2, 9, 5) for index in range(clips)}
    for name, item in features.items():
        writer.add(name, item, item[..., 0].abs())
    assert writer.close() == clips
    return features


@pytest.mark.parametrize("shard_mib", [0, 1])
def test_what_is_read_is_what_was_written(tmp_path: Path, shard_mib: int) -> None:
    features = write(tmp_path / "cache", shard_mib=shard_mib)
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == (1 if shard_mib else 7)
    cache = CachedFeatures(tmp_path / "cache")
    assert cache.info == INFO
    assert len(cache) == 7
    for name, item in features.items():
        found = cache.read(name)
        assert torch.equal(found.features, item.half().float())
        assert torch.equal(found.attention, item[..., 0].abs())


def test_a_half_written_cache_is_none(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path / "cache", INFO, shard_mib=0)
    writer.add("a", torch.zeros(2, 9, 5), torch.zeros(2, 9))
    with pytest.raises(DataError, match=r"holds no index\.json: write it with `videollm features`"):
        CachedFeatures(tmp_path / "cache")


def test_an_interrupted_writer_is_gone_on_with(tmp_path: Path) -> None:
    features = {f"clip {index}": torch.randn(2, 9, 5) for index in range(4)}
    first = FeatureWriter(tmp_path, INFO, shard_mib=0)
    for name in ("clip 0", "clip 1"):
        first.add(name, features[name], features[name][..., 0])
    second = FeatureWriter(tmp_path, INFO, shard_mib=0)
    assert [name in second for name in features] == [True, True, False, False]
    for name, item in features.items():
        second.add(name, item if name in ("clip 2", "clip 3") else 0 * item, item[..., 0])
    assert second.close() == 4
    cache = CachedFeatures(tmp_path)
    assert all(
        torch.equal(cache.read(name).features, features[name].half().float()) for name in features
    )


def test_the_beginning_of_another_cache_is_not_gone_on_with(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, INFO, shard_mib=0)
    writer.add("clip", torch.zeros(2, 9, 5), torch.zeros(2, 9))
    with pytest.raises(DataError, match="another recipe or teacher"):
        FeatureWriter(tmp_path, replace(INFO, teacher="another"))


def test_another_grid_or_other_clips_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "cache")
    cache = CachedFeatures(tmp_path / "cache")
    cache.check(replace(INFO, teacher="another", feature_size=0, can_guide=False))
    with pytest.raises(DataError, match="has grid_size 3, this run 4"):
        cache.check(replace(INFO, grid_size=4))
    with pytest.raises(DataError, match="has num_frames 4, this run 8"):
        cache.check(replace(INFO, num_frames=8))
    with pytest.raises(DataError, match="has nothing of clip 9"):
        cache.read("clip 9")


def test_a_cache_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "cache")
    with pytest.raises(DataError, match="holds a cache already"):
        FeatureWriter(tmp_path / "cache", INFO)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "cache")
    path = tmp_path / "cache" / "index.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(DataError, match="is not of format 1"):
        CachedFeatures(tmp_path / "cache")
