"""Real video files as pretraining data: frames alone, no text and no labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from videollm.clip import Clip
from videollm.encoder import VideoMAPConfig
from videollm.errors import DataError
from videollm.sampling import load_clip
from videollm.train.examples import BadSamples, first_readable
from videollm.train.toyworld_data import MaskDrawer, batch_generator
from videollm.transforms import preprocess_frames

__all__ = ["FrameCollator", "FrameSample", "VideoFiles", "list_videos"]

_SUFFIXES = frozenset(
    (".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg")
    + (".ogv", ".ts", ".webm", ".wmv")
)


@dataclass(frozen=True, slots=True)
class FrameSample:
    """Hold the frames of one file.

    Args:
        index: Which sample was asked for.
        clip: Its frames.
    """

    index: int
    clip: Clip


def list_videos(paths: Sequence[Path], media_folder: Path | None = None) -> list[Path]:
    """Return the video files behind files, folders (searched through) and lists.

    A list is a `.txt` file with a path a line, or a `.csv` whose first column is a path.

    Raises:
        DataError: A path does not exist, or nothing was found.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(item for item in path.rglob("*") if item.suffix.lower() in _SUFFIXES)
        elif path.suffix.lower() in (".txt", ".csv") and path.is_file():
            base = media_folder or path.parent
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [base / line.split(",")[0].strip() for line in lines if line.strip()]
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"data_path: {path}: no such file or folder")
    if not found:
        raise DataError(f"data_path: no video in {', '.join(map(str, paths))}")
    return found


class VideoFiles(Dataset[FrameSample]):
    """Clips of video files, frames spread evenly over each.

    Args:
        files: Paths.
        num_frames: Frames of a clip.
        output: Folder for the report on bad samples.
        max_bad: Largest share of bad files, 0 to 1.

    Raises:
        DataError: Too many files are missing.
    """

    def __init__(
        self, files: Sequence[Path], *, num_frames: int, output: Path, max_bad: float
    ) -> None:
        self.num_frames = num_frames
        self.bad = BadSamples(output, num_samples=len(files), max_share=max_bad)
        for path in files:
            if not path.is_file():
                self.bad.add(str(path), "missing")
        self.bad.check()
        self.files = [path for path in files if str(path) not in self.bad]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> FrameSample:
        """Return the clip of file `index`, or of the next one that can be read.

        Raises:
            DataError: Too many files cannot be read.
            IndexError: There is no such file.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        _, clip = first_readable(self.files, index, load=self._load, name=str, bad=self.bad)
        return FrameSample(index, clip)

    def _load(self, path: Path) -> Clip:
        return load_clip(path, num_frames=self.num_frames)


@dataclass(frozen=True, kw_only=True)
class FrameCollator:
    """Make a batch of clips to pretrain on their own pixels.

    Args:
        encoder: Frame, patch and tubelet size.
        keep_ratios: Shares of visible tokens to draw from.
        seed: Seed of the masks.
    """

    encoder: VideoMAPConfig
    keep_ratios: tuple[float, ...]
    seed: int

    def __call__(self, samples: list[FrameSample]) -> dict[str, Tensor]:
        """Return `pixel_values` and `visible`."""
        rng = batch_generator(self.seed, [sample.index for sample in samples])
        size, grid = self.encoder.image_size, self.encoder.grid_size
        frames = [preprocess_frames(sample.clip.frames, size) for sample in samples]
        num_steps = frames[0].shape[0] // self.encoder.tubelet_size
        masks = MaskDrawer(keep_ratios=self.keep_ratios, num_tokens=grid * grid)
        return {
            "pixel_values": torch.stack(frames),
            "visible": masks.draw(len(samples), num_steps, rng),
        }
