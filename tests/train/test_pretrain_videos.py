"""Pretraining on files: ways to name them, files that cannot be read, views of one file."""

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.runs import losses, refusal, run, write_videos
from tests.videollm.drawn import draw_video
from videollm.encoder import VideoMAPConfig
from videollm.errors import RecipeError
from videollm.sampling import load_clip
from videollm.train.augment import Augment
from videollm.train.examples import BAD_SAMPLES_FILE
from videollm.train.masks import MaskDrawer
from videollm.train.pretrain_batches import PretrainBatches
from videollm.train.video_clips import ClipPolicy, EntryReader
from videollm.train.video_files import FrameCollator, VideoFiles
from videollm.train.video_lists import VideoEntry
from videollm.train.view_arguments import ViewArguments

GIVEN = ["--dataset", "videos", "--teacher", "pixels", "--keep_ratios", "0.5"]
GIVEN += ["--per_device_train_batch_size", "2", "--crop", "resized"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of five short videos."""
    root = tmp_path_factory.mktemp("files")
    write_videos(root, [f"{name}.mp4" for name in "abcde"])
    return root


def bad_samples(output: Path) -> dict[str, str]:
    lines = (output / BAD_SAMPLES_FILE).read_text().splitlines()
    records = [json.loads(line) for line in lines]
    found = {record["sample"]: record["reason"] for record in records}
    # Two workers may meet a file at the same moment.
    assert len(records) <= 2 * len(found)
    return found


def test_a_folder_a_list_and_a_shard_are_the_same_videos(folder: Path, tmp_path: Path) -> None:
    paths = sorted(folder.iterdir())
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in paths))
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for path in paths:
            shard.add(path, path.name)
    found = [
        losses(run("pretrain", "tiny_pretrain", tmp_path / name, *GIVEN, "--data_path", str(given)))
        for name, given in (("a", folder), ("b", listed), ("c", tmp_path / "shard.tar"))
    ]
    assert found[0] == found[1] == found[2]


def test_bad_files_are_left_out_and_reported(folder: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(b"no video")
    listed = tmp_path / "list.csv"
    first = sorted(folder.iterdir())[0]
    rows = [*(f"{path},," for path in sorted(folder.iterdir())), f"{torn},,", "gone.mp4,,"]
    rows = [f"{row}," for row in rows] + [f"{first},,5,6"]
    listed.write_text("".join(f"{row}\n" for row in rows))
    given = [*GIVEN, "--data_path", str(listed), "--max_bad", "0.5", "--max_steps", "8"]
    output = run(
        "pretrain", "tiny_pretrain", tmp_path / "out", *given, "--dataloader_num_workers", "2"
    )
    bad = bad_samples(output)
    assert bad.keys() == {f"{listed}:{line}" for line in (6, 7, 8)}
    assert str(torn) in bad[f"{listed}:6"]
    assert bad[f"{listed}:7"] == f"{tmp_path / 'gone.mp4'}: missing"
    assert "start_seconds is 5" in bad[f"{listed}:8"]


def test_too_many_bad_files_end_the_run(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    shutil.copytree(folder, there)
    for name in "xyz":
        (there / f"{name}.mp4").write_bytes(b"no video")
    given = [*GIVEN, "--data_path", str(there), "--max_bad", "0.3", "--max_steps", "8"]
    for workers in ("0", "2"):
        more = ["--dataloader_num_workers", workers]
        line = refusal(capsys, "pretrain", "tiny_pretrain", tmp_path / workers, *given, *more)
        assert "3 of 8 samples are bad, more than the share max_bad = 0.3" in line
    (tmp_path / "list.txt").write_text("gone.mp4\nfar.mp4\n")
    given = [*GIVEN, "--data_path", str(tmp_path / "list.txt")]
    line = refusal(capsys, "pretrain", "tiny_pretrain", tmp_path / "a", *given)
    assert f"2 of 2 samples are bad, more than the share max_bad = 0.05; the first: {tmp_path}" in (
        line
    )
    line = refusal(capsys, "pretrain", "tiny_pretrain", tmp_path / "b", *given, "--max_bad", "1")
    assert "none of 2 videos" in line


def test_repeats_are_views_of_one_reading(folder: Path, tmp_path: Path) -> None:
    entries = [VideoEntry(source=path, name=path.name) for path in sorted(folder.iterdir())]
    files = VideoFiles(
        entries,
        policy=ClipPolicy(num_frames=4, sampling="segments", frame_stride=1),
        augment=Augment(size=32, crop="resized"),
        repeats=3,
        seed=0,
        output=tmp_path,
        max_bad=0.0,
    )
    encoder = VideoMAPConfig(image_size=32, patch_size=4, hidden_size=16, num_attention_heads=2)
    collator = FrameCollator(
        batches=PretrainBatches(encoder=encoder, masks=MaskDrawer(keep_ratios=(0.3,), seed=0))
    )
    batch = collator([files[0], files[6]])
    assert batch["pixel_values"].shape == (6, 4, 3, 32, 32)
    assert np.unique(batch["visible"].flatten(1).numpy(), axis=0).shape[0] == 6
    assert not torch.equal(batch["pixel_values"][0], batch["pixel_values"][1])
    assert torch.equal(collator([files[6]])["pixel_values"], batch["pixel_values"][3:])
    assert not torch.equal(files[1].views, files[6].views)


@pytest.mark.parametrize("sampling", ["keyframes", "scenes"])
def test_every_clip_has_its_frames_whatever_the_policy(folder: Path, sampling: str) -> None:
    policy = ClipPolicy(num_frames=6, sampling=sampling, frame_stride=1)
    assert not ViewArguments(sampling=sampling).is_random
    for path in sorted(folder.iterdir()):
        entry = VideoEntry(source=path, name=path.name)
        clip = policy.read(entry, rng=np.random.default_rng(0))
        chosen = load_clip(path, sampling=sampling, num_frames=6)
        assert len(clip) == 6
        assert set(clip.pts_seconds.tolist()) == set(chosen.pts_seconds.tolist())
        assert torch.equal(policy.read(entry).frames, clip.frames)


def test_a_video_that_takes_too_long_is_bad_and_the_run_goes_on(
    folder: Path, tmp_path: Path
) -> None:
    policy = ClipPolicy(num_frames=4, sampling="uniform", frame_stride=1)
    limited = replace(policy, decode_seconds=60.0)
    entries = [VideoEntry(source=path, name=path.name) for path in sorted(folder.iterdir())]
    for entry in entries[:2]:
        expected, clip = policy.read(entry), limited.read(entry)
        assert torch.equal(clip.frames, expected.frames)
        assert torch.equal(clip.pts_seconds, expected.pts_seconds)
    noise = np.random.default_rng(0).integers(0, 255, (6, 320, 320, 3), dtype=np.uint8)
    options = {"crf": "1", "preset": "superfast", "x264-params": "keyint=600"}
    long = tmp_path / "long.avi"  # one second of work, and no keyframe to jump to
    frames = np.tile(noise, (15, 1, 1, 1))
    long.write_bytes(draw_video(frames, container="avi", options=options))
    hurried = replace(policy, decode_seconds=0.1)
    listed = [VideoEntry(source=long, name="long"), *entries]
    EntryReader(listed, hurried, output=tmp_path, max_bad=1.0).read(0)
    assert "took more than 0.1 s" in bad_samples(tmp_path)["long"]
    with pytest.raises(RecipeError, match="decode_seconds: 0 given; above 0, or null"):
        ViewArguments(decode_seconds=0)
