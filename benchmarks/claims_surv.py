"""The part of the study on real clips: fights and other scenes before surveillance cameras.

The clips are made small once, since decoding them at their size would take longer than learning.
Five folds, drawn at random and balanced; each fold's pretraining sees its training clips, without
labels, and the other real videos at hand.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.claims_jobs import Job
from benchmarks.claims_record import SCORED

__all__ = ["surv_jobs"]

NUM_FOLDS = 5
SHORTER_SIDE = 112
LONGEST_SECONDS = 20.0
CLASSES = ("fight", "noFight")


def surv_jobs(
    work: Path,
    *,
    clips: Path,
    videos: Path,
    recipes: Path,
    folds: int,
    steps: tuple[int, int],
) -> list[Job]:
    """Make the clips small, write the lists, and return the runs.

    Args:
        work: Folder of all runs.
        clips: Holds a folder for each of `CLASSES`.
        videos: Other real videos, for pretraining; may be missing.
        recipes: Holds `surv_pretrain.yaml` and `surv_classify.yaml`.
        folds: How many of the five to run.
        steps: Of pretraining and of fine-tuning.
    """
    small = work / "surv_clips"
    named = {name: _all_small(clips / name, small / name) for name in CLASSES}
    others = _all_small(videos, small / "others") if videos.is_dir() else []
    write_folds(work / "surv_lists", named, others)
    jobs: list[Job] = []
    for fold in range(folds):
        jobs += _jobs_of_fold(work, recipes, fold, steps)
    return jobs


def write_folds(folder: Path, clips: dict[str, list[Path]], others: Sequence[Path]) -> None:
    """Write `train-K.csv`, `test-K.csv` and `pretrain-K.txt` for each fold K."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    fold_of = {
        path: place % NUM_FOLDS
        for paths in clips.values()
        for place, path in enumerate(paths[k] for k in rng.permutation(len(paths)))
    }
    label_of = {path: name for name, paths in clips.items() for path in paths}
    for fold in range(NUM_FOLDS):
        learned = [path for path in label_of if fold_of[path] != fold]
        tested = [path for path in label_of if fold_of[path] == fold]
        for name, paths in (("train", learned), ("test", tested)):
            lines = [f"{path.resolve()},{label_of[path]}\n" for path in paths]
            (folder / f"{name}-{fold}.csv").write_text("".join(lines), encoding="utf-8")
        lines = [f"{path.resolve()}\n" for path in (*learned, *others)]
        (folder / f"pretrain-{fold}.txt").write_text("".join(lines), encoding="utf-8")


def _jobs_of_fold(work: Path, recipes: Path, fold: int, steps: tuple[int, int]) -> list[Job]:
    lists = work / "surv_lists"
    pretraining = f"surv/pretrain/{fold}"
    shared = ["--max_steps", str(steps[1]), "--save_steps", str(steps[1] // 2)]
    shared += ["--data_path", str(lists / f"train-{fold}.csv")]
    shared += ["--validation_path", str(lists / f"test-{fold}.csv")]
    encoder = ["--encoder", str(work / pretraining / "encoder"), "--encoder_overrides", "{}"]
    jobs = [
        Job(
            name=pretraining,
            module="videollm.train.pretrain",
            arguments=(
                *(str(recipes / "surv_pretrain.yaml"), "--output_dir", str(work / pretraining)),
                *("--data_path", str(lists / f"pretrain-{fold}.txt")),
                *("--max_steps", str(steps[0]), "--save_steps", str(steps[0] // 4)),
            ),
            result="encoder/model.safetensors",
        )
    ]
    for kind, extra in (("scratch", []), ("pretrained", encoder)):
        name = f"surv/{kind}/{fold}"
        recipe = str(recipes / "surv_classify.yaml")
        jobs.append(
            Job(
                name=name,
                module="videollm.train.classify",
                arguments=(recipe, "--output_dir", str(work / name), *shared, *extra),
                needs=(pretraining,) if extra else (),
                result=SCORED,
            )
        )
    return jobs


def _all_small(source: Path, target: Path) -> list[Path]:
    """Return small copies of all videos of a folder; those that cannot be read are left out."""
    target.mkdir(parents=True, exist_ok=True)
    found = []
    for path in sorted(item for item in source.iterdir() if item.is_file()):
        copy = target / f"{path.name}.mp4"
        if not copy.exists():
            draft = copy.with_suffix(".part")
            try:
                _shrink(path, draft)
                draft.rename(copy)
            except (av.FFmpegError, IndexError, ValueError):
                draft.unlink(missing_ok=True)
                continue
        found.append(copy)
    return found


def _shrink(source: Path, target: Path) -> None:
    """Write the first seconds of a video with its shorter side at 112 pixels, in H.264.

    Raises:
        FFmpegError: It cannot be read or written.
        IndexError: It has no pictures.
        ValueError: None of it could be decoded.
    """
    with av.open(str(source)) as reader, av.open(str(target), "w", format="mp4") as writer:
        video = reader.streams.video[0]
        rate = Fraction(video.average_rate or 25).limit_denominator(1001)
        stream = None
        for frame in reader.decode(video):
            if (frame.time or 0.0) > LONGEST_SECONDS:
                break
            if stream is None:
                scale = SHORTER_SIDE / min(frame.width, frame.height)
                stream = writer.add_stream("libx264", rate=rate, options={"crf": "16", "g": "12"})
                stream.width = 2 * round(frame.width * scale / 2)
                stream.height = 2 * round(frame.height * scale / 2)
                stream.pix_fmt = "yuv420p"
            small = frame.reformat(stream.width, stream.height, "yuv420p")
            small.pts = None
            writer.mux(stream.encode(small))
        if stream is None:
            raise ValueError(f"{source}: no frame")
        writer.mux(stream.encode(None))
