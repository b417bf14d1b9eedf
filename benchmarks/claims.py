"""Hold the paper's claims to small experiments, from nothing.

python -m benchmarks.claims [--quick] [--work runs/claims] [--workers 2] [--surv FOLDER]

(a) layer patterns at equal parameters, (b) pretraining objectives, (c) shares of labels, on how
objects of the toy world move; and, where the clips of real fights are at hand (`--surv`), scratch
against pretrained on these. Runs that are there are kept: an interrupted study goes on. What is on
record in benchmarks/results/claims.json is kept as well, on any machine: `--record FILE` starts a
record of its own. Writes the tables of docs/results.md (`--quick`: all of it below WORK).
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claims_jobs import Job, JobError, run_jobs
from benchmarks.claims_record import SCORED, Record, still_needed
from benchmarks.claims_report import write_report
from benchmarks.claims_surv import surv_jobs

RECIPES = Path(__file__).parent / "claims_recipes"
OBJECTIVES: dict[str, dict[str, str]] = {
    "frame+alignment": {"alignment_weight": "1"},
    "alignment": {"prediction_weight": "0", "alignment_weight": "1"},
    "frame": {"alignment_weight": "0"},
    "token": {"decoding": "token", "alignment_weight": "0"},
    "sparse": {"alignment_weight": "1", "keep_ratios": "0.25"},
}
WHOLE = "frame+alignment"
"""The paper's objective; it and training from scratch are tried at every share of labels. "sparse"
is the same, but the encoder never sees frames nearly whole."""

PATTERNS: dict[str, dict[str, object]] = {
    "MMMMT": {"num_layers": 10},
    "MMMT": {"num_layers": 10, "layer_pattern": "MMMTMMMTMM"},
    "M": {"num_layers": 10, "layer_pattern": "M", "hidden_size": 100, "num_attention_heads": 2},
    "T": {"num_layers": 10, "layer_pattern": "T", "mlp_ratio": 2.285},
}
"""Ten layers each, 0.84 million parameters within 2 %; "MMMT" is cut to the same number of T."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How much of everything.

    Args:
        seeds: Runs of each setting.
        teacher_steps: Steps of the teacher's own training.
        clips: Clips to pretrain on, and to label a share of.
        pretrain_steps: Steps of pretraining.
        label_steps: Steps of fine-tuning by percent of labels.
        few_steps: Steps of a short fine-tuning with the fewest labels, tried for each objective.
        pattern_steps: Steps from scratch, with all labels.
        test_clips: Clips of the test set.
        folds: Folds of the real clips, of five.
        surv_steps: Steps of pretraining and of fine-tuning on real clips.
    """

    seeds: int
    teacher_steps: int
    clips: int
    pretrain_steps: int
    label_steps: dict[int, int]
    few_steps: int
    pattern_steps: int
    test_clips: int
    folds: int
    surv_steps: tuple[int, int]


FULL = Scale(
    seeds=3,
    teacher_steps=600,
    clips=1000,
    pretrain_steps=1000,
    label_steps={5: 300, 20: 300, 100: 300},
    few_steps=100,
    pattern_steps=300,
    test_clips=500,
    folds=5,
    surv_steps=(600, 200),
)
QUICK = Scale(
    seeds=1,
    teacher_steps=150,
    clips=400,
    pretrain_steps=80,
    label_steps={5: 60},
    few_steps=30,
    pattern_steps=40,
    test_clips=100,
    folds=1,
    surv_steps=(40, 20),
)


def main(argv: list[str] | None = None) -> int:
    """Run the study; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a small form of everything")
    parser.add_argument("--work", type=Path, default=Path("runs/claims"))
    parser.add_argument("--record", type=Path, help="scores of finished runs, a JSON file")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--surv", type=Path, default=Path("../shared/datasets/surv_fight"))
    parser.add_argument("--videos", type=Path, default=Path("../shared/videos"))
    options = parser.parse_args(argv)
    scale = QUICK if options.quick else FULL
    work = options.work / ("quick" if options.quick else "full")
    jobs = [*toy_jobs(scale, work)]
    if options.surv.is_dir():
        jobs += surv_jobs(
            work,
            clips=options.surv,
            videos=options.videos,
            recipes=RECIPES,
            folds=scale.folds,
            steps=scale.surv_steps,
        )
    else:
        print(f"no clips of fights at {options.surv}: that part is left out")
    kept = work / "record.json" if options.quick else Path("benchmarks/results/claims.json")
    record = Record(options.record or kept, jobs, work)
    needed = still_needed(jobs, record)
    print(f"{sum(job.result == SCORED for job in needed)} runs are not on record", flush=True)
    try:
        run_jobs(needed, work, workers=options.workers, ended_well=record.add)
    except JobError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    page = work / "results.md" if options.quick else Path("docs/results.md")
    print(write_report(record.runs, page))
    return 0


def toy_jobs(scale: Scale, work: Path) -> list[Job]:
    """Return the runs on the toy world."""
    teacher = work / "teacher"
    asked = {"num_clips": str(scale.clips), "teacher_model": str(teacher)}
    jobs = [
        Job(
            name="teacher",
            module="benchmarks.toy_teacher",
            arguments=("--output", str(teacher), "--steps", str(scale.teacher_steps)),
            result="model.safetensors",
        ),
        Job(
            name="features",
            module="videollm.train.features",
            arguments=_command("pretrain", work / "features", asked),
            needs=("teacher",),
            result="index.json",
        ),
    ]
    seeds = range(scale.seeds)
    for seed in seeds:
        for objective in ("none", WHOLE):
            if objective != "none":
                jobs.append(_pretraining(scale, work, objective, seed))
            jobs.append(_short_tuning(scale, work, objective, seed))
            jobs += [
                _tuning(scale, work, objective, percent, seed) for percent in scale.label_steps
            ]
    jobs += [_from_scratch(scale, work, pattern, seed) for seed in seeds for pattern in PATTERNS]
    for seed in seeds:
        for objective in OBJECTIVES:
            if objective != WHOLE:
                jobs.append(_pretraining(scale, work, objective, seed))
                jobs.append(_short_tuning(scale, work, objective, seed))
    return jobs


def _pretraining(scale: Scale, work: Path, objective: str, seed: int) -> Job:
    name = f"pretrain/{objective}/{seed}"
    options = {
        "num_clips": str(scale.clips),
        "teacher_cache": str(work / "features"),
        "max_steps": str(scale.pretrain_steps),
        "save_steps": str(scale.pretrain_steps // 4),
        "seed": str(seed),
        **OBJECTIVES[objective],
    }
    return Job(
        name=name,
        module="videollm.train.pretrain",
        arguments=_command("pretrain", work / name, options),
        needs=("features",),
        result="encoder/model.safetensors",
    )


def _tuning(scale: Scale, work: Path, objective: str, percent: int, seed: int) -> Job:
    name = f"labels/{objective}/{percent}/{seed}"
    return _fine_tuning(scale, work, name, objective, seed, percent, scale.label_steps[percent])


def _short_tuning(scale: Scale, work: Path, objective: str, seed: int) -> Job:
    fewest = min(scale.label_steps)
    name = f"short/{objective}/{seed}"
    return _fine_tuning(scale, work, name, objective, seed, fewest, scale.few_steps)


def _fine_tuning(
    scale: Scale, work: Path, name: str, objective: str, seed: int, percent: int, steps: int
) -> Job:
    options = {
        "num_clips": str(scale.clips),
        "label_fraction": str(percent / 100),
        "validation_clips": str(scale.test_clips),
        "max_steps": str(steps),
        "save_steps": str(steps // 2),
        "warmup_steps": str(steps // 10),
        "seed": str(seed),
    }
    needs: tuple[str, ...] = ()
    if objective != "none":
        needs = (f"pretrain/{objective}/{seed}",)
        options |= {"encoder": str(work / needs[0] / "encoder"), "encoder_overrides": "{}"}
    return Job(
        name=name,
        module="videollm.train.classify",
        arguments=_command("classify", work / name, options),
        needs=needs,
        result=SCORED,
    )


def _from_scratch(scale: Scale, work: Path, pattern: str, seed: int) -> Job:
    name = f"pattern/{pattern}/{seed}"
    base = {"hidden_size": 96, "num_attention_heads": 3, "state_size": 8}
    options = {
        "encoder_overrides": json.dumps({**base, **PATTERNS[pattern]}),
        "num_frames": "8",
        "num_clips": str(scale.clips),
        "validation_clips": str(scale.test_clips),
        "max_steps": str(scale.pattern_steps),
        "save_steps": str(scale.pattern_steps // 2),
        "warmup_steps": str(scale.pattern_steps // 10),
        "seed": str(seed),
    }
    return Job(
        name=name,
        module="videollm.train.classify",
        arguments=_command("classify", work / name, options),
        result=SCORED,
    )


def _command(recipe: str, folder: Path, options: dict[str, str]) -> tuple[str, ...]:
    pairs = [part for key, value in options.items() for part in (f"--{key}", value)]
    return (str(RECIPES / f"{recipe}.yaml"), "--output_dir", str(folder), *pairs)


if __name__ == "__main__":
    sys.exit(main())
