"""Hold the training data's speed against bare decoding with the same worker processes.

python -m benchmarks.input_pipeline [--workers 2] [--data FOLDER_OR_LIST] [--output FOLDER]

Ours: `VideoFiles` through a `DataLoader`: open, decode, choose frames, crop, scale, flip,
normalise, collate, hand over ("pretrain"); also with what fine-tuning adds, two views with
RandAugment and erasing ("finetune"; a sample is a view there, since the model learns from each).
Bare: as many processes that open the same files with PyAV, decode to the last of the same frames,
turn these into RGB and forget them. All take turns, the best round of each counts; nothing else
should run beside it. Without `--data` 40 clips are drawn: H.264, 320 x 240, 10 s, as a re-encoded
Kinetics has them.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.measure import interleaved_seconds, save
from videollm.encoder import middle_config
from videollm.train.augment import Augment
from videollm.train.masks import MaskDrawer
from videollm.train.pretrain_batches import PretrainBatches
from videollm.train.video_clips import ClipPolicy
from videollm.train.video_files import FrameCollator, VideoFiles
from videollm.train.video_lists import read_entries

Frames = tuple[str, list[float]]
"""A file and the times of the frames that are wanted of it, rising, in seconds."""

AUGMENTS: dict[str, tuple[dict[str, Any], int]] = {
    "pretrain": ({"crop": "resized", "flip": 0.5}, 1),
    "finetune": (
        {
            "crop": "resized",
            "flip": 0.5,
            "rand_augment": "m7-n4-mstd0.5-inc1",
            "erase": 0.25,
        },
        2,
    ),
}
"""By name: what is done to a clip, and how many views are made of it."""


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="folder or list of videos; drawn without it")
    parser.add_argument("--clips", type=int, default=40, help="how many are drawn")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long those are")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        data = options.data
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for number in range(options.clips):
                draw_clip(data / f"{number}.mp4", seconds=options.seconds, seed=number)
        results = measure(
            data, num_frames=options.frames, workers=options.workers, rounds=options.rounds
        )
    results = {"data": "given" if options.data else "drawn", **results}
    print(
        save(options.output, "input_pipeline", results, ["benchmarks.input_pipeline", *arguments])
    )
    return 0


def measure(data: Path, *, num_frames: int, workers: int, rounds: int) -> dict[str, Any]:
    """Return clips and samples a second of bare decoding and of each kind of our own, and ratios.

    Args:
        data: Folder or list of videos.
        num_frames: Frames of a clip, spread over the whole of it.
        workers: Processes, at least 1.
        rounds: How often each is measured.
    """
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(workers) as pool:
        loaders = {
            kind: build_loader(
                data, kind, num_frames=num_frames, workers=workers, output=Path(scratch)
            )
            for kind in AUGMENTS
        }
        wanted = wanted_frames(data, num_frames)
        works: dict[str, Callable[[], object]] = {
            "bare": lambda: list(pool.map(decode_bare, wanted)),
            **{kind: _Epoch(loader) for kind, loader in loaders.items()},
        }
        for work in works.values():  # start the processes, warm the files
            work()
        seconds = interleaved_seconds(works, repeats=rounds, enough_seconds=float("inf"))
    speeds = {name: len(wanted) / value for name, value in seconds.items()}
    ratios = {name: speeds[name] / speeds["bare"] for name in AUGMENTS}
    samples = {name: ratios[name] * repeats for name, (_, repeats) in AUGMENTS.items()}
    print(f"bare: {speeds['bare']:.1f} clips/s")
    for name in AUGMENTS:
        print(
            f"{name}: {speeds[name]:.1f} clips/s, {ratios[name]:.2f} of bare; "
            f"in samples {samples[name]:.2f} of bare",
            flush=True,
        )
    return {
        "workers": workers,
        "frames": num_frames,
        "videos": len(wanted),
        "clips_per_second": speeds,
        "ratio_to_bare": ratios,
        "ratio_of_samples_to_bare": samples,
    }


class _Epoch:
    """Draw all batches of a loader and forget them."""

    def __init__(self, loader: "DataLoader[Any]") -> None:
        self.loader = loader

    def __call__(self) -> None:
        for _ in self.loader:
            pass


def build_loader(
    data: Path, kind: str, *, num_frames: int, workers: int, output: Path
) -> "DataLoader[Any]":
    """Return a pretraining loader; its frames are the centres of segments, so none is random.

    Where in its segment a frame lies costs nothing, and bare decoding can take the same ones.
    """
    config = middle_config(scan_mode="frame_causal")
    changes, repeats = AUGMENTS[kind]
    dataset = VideoFiles(
        read_entries([data], media_folder=None, labelled=False).entries,
        policy=ClipPolicy(num_frames=num_frames, sampling="uniform", frame_stride=1),
        augment=Augment(size=config.image_size, **changes),
        repeats=repeats,
        seed=0,
        output=output,
        max_bad=0.0,
    )
    batches = PretrainBatches(encoder=config, masks=MaskDrawer(keep_ratios=(0.2,), seed=0))
    return DataLoader(
        dataset,
        batch_size=4,
        num_workers=workers,
        persistent_workers=True,
        collate_fn=FrameCollator(batches=batches),
    )


def wanted_frames(data: Path, num_frames: int) -> list[Frames]:
    """Return each file with the times of the frames that the loaders take of it."""
    policy = ClipPolicy(num_frames=num_frames, sampling="uniform", frame_stride=1)
    found: list[Frames] = []
    for entry in read_entries([data], media_folder=None, labelled=False).entries:
        clip = policy.read(entry)
        found.append((str(entry.source), clip.pts_seconds.tolist()))
    return found


def decode_bare(wanted: Frames) -> int:
    """Open a file, decode to the last wanted frame, make RGB arrays of the wanted ones.

    Returns:
        How many of the wanted times there were; all, if the file is as it was.
    """
    path, times = wanted
    place = 0
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        start: int | None = None
        for frame in container.decode(stream):
            assert frame.pts is not None
            start = frame.pts if start is None else start
            seconds = float((frame.pts - start) * stream.time_base)
            if seconds < times[place] - 1e-3:
                continue
            frame.to_ndarray(format="rgb24")
            while place < len(times) and times[place] < seconds + 1e-3:
                place += 1
            if place == len(times):
                break
    return place


def draw_clip(
    path: Path,
    *,
    seconds: float,
    seed: int,
    height: int = 240,
    width: int = 320,
    rate: int = 25,
) -> None:
    """Write a video: a camera that pans over blurred noise, with some grain, H.264 in MP4."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 60, 80)).astype(np.float32))
    scene = torch.nn.functional.interpolate(coarse, (2 * height, 2 * width), mode="bicubic")
    picture = scene[0].permute(1, 2, 0).numpy()
    num_frames = round(seconds * rate)
    grain = rng.normal(0, 4, (8, height, width, 1)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", Fraction(rate), options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(num_frames):
            top, left = (int(number * side / num_frames) for side in (height, width))
            seen = picture[top : top + height, left : left + width] + grain[number % 8]
            frame = av.VideoFrame.from_ndarray(seen.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


if __name__ == "__main__":
    sys.exit(main())
