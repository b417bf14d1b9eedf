"""What each part of the demo is worth: the same short training again and again, one thing changed.

python -m benchmarks.demo_ablations [--work runs/ablations] [--workers 2] [--page PAGE]

Every variant goes through all stages of `scripts/train_shapes.sh` with fewer steps and is asked the
same questions of `test_iid`. Runs that are there are kept, and stages that variants have in common
are made once; what is on record in benchmarks/results/demo_ablations.json is not made again. Writes
the table into PAGE (default: docs/demo_model.md).
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.claims_jobs import Job, JobError, run_jobs
from benchmarks.measure import source_commit
from benchmarks.pages import markdown_table, replace_tables
from videollm.runtime import cpu_has_fast_bf16, environment_report

STEPS = {"pretrain": 1500, "align": 300, "instruct": 600}
WARMUP = {"pretrain": 50, "align": 25, "instruct": 30}
RESULTS = {
    "pretrain": "encoder/model.safetensors",
    "align": "config.json",
    "instruct": "adapter/adapter_config.json",
}
ITEMS = 500
RECORD = Path("benchmarks/results/demo_ablations.json")
SHOWN = ("colour", "count", "motion", "direction", "order", "time")
Options = Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """What differs from the demo, by stage.

    Args:
        pretrain: Options of pretraining; None: there is none.
        align: Options of alignment.
        instruct: Options of instruction tuning.
    """

    pretrain: Options | None = field(default_factory=dict)
    align: Options = field(default_factory=dict)
    instruct: Options = field(default_factory=dict)


VARIANTS: dict[str, Variant] = {
    "as released": Variant(),
    "no pretraining, encoder tuned with the LoRA": Variant(
        pretrain=None, instruct={"train_encoder": "true"}
    ),
    "pattern M": Variant(pretrain={"encoder_overrides": '{"layer_pattern": "M"}'}),
    "pattern T": Variant(pretrain={"encoder_overrides": '{"layer_pattern": "T"}'}),
    "bidirectional": Variant(pretrain={"encoder_overrides": '{"scan_mode": "bidirectional"}'}),
    "1 token for two frames": Variant(align={"tokens_per_frame": "1"}),
    "4 tokens for two frames": Variant(align={"tokens_per_frame": "4"}),
    "LoRA of rank 4": Variant(instruct={"lora_rank": "4", "lora_alpha": "8"}),
    "LoRA of rank 64": Variant(instruct={"lora_rank": "64", "lora_alpha": "128"}),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Train, ask, write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--page", type=Path, default=Path("docs/demo_model.md"))
    parser.add_argument("--record", type=Path, default=RECORD)
    options = parser.parse_args(argv)
    record = json.loads(options.record.read_text()) if options.record.is_file() else {}
    missing = [name for name in VARIANTS if name not in record]
    jobs = jobs_of(missing, options.work)

    def keep(job: Job) -> None:
        if job.module != "videollm":
            return
        name = next(variant for variant in VARIANTS if evaluation(variant, options.work) == job)
        record[name] = _scores(options.work / job.name / job.result)
        options.record.parent.mkdir(parents=True, exist_ok=True)
        options.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    try:
        run_jobs(jobs, options.work, workers=options.workers, ended_well=keep)
    except JobError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    table = ablation_table(record)
    replace_tables(options.page, {"ablations": table})
    print(table)
    return 0


def jobs_of(names: Sequence[str], work: Path) -> list[Job]:
    """Return all runs of some variants, each once."""
    jobs: dict[str, Job] = {}
    for name in names:
        for job in (*stages(name, work), evaluation(name, work)):
            jobs.setdefault(job.name, job)
    return list(jobs.values())


def stages(name: str, work: Path) -> list[Job]:
    """Return the stages of a variant, in order."""
    variant = VARIANTS[name]
    jobs = []
    bf16 = {"bf16": str(cpu_has_fast_bf16()).lower()}
    align: dict[str, str] = {"encoder": "demo"}
    needs: tuple[str, ...] = ()
    if variant.pretrain is not None:
        jobs.append(_stage("pretrain", work, {**bf16, **variant.pretrain}, {}, ()))
        align, needs = {"encoder": str(work / jobs[0].name / "encoder")}, (jobs[0].name,)
    jobs.append(_stage("align", work, variant.align, align, needs))
    model = {"model": str(work / jobs[-1].name)}
    jobs.append(_stage("instruct", work, variant.instruct, model, (jobs[-1].name,)))
    return jobs


def evaluation(name: str, work: Path) -> Job:
    """Return the run that asks a variant."""
    tuned = stages(name, work)[-1]
    folder = f"{tuned.name}-eval"
    return Job(
        name=folder,
        module="videollm",
        arguments=(
            *("eval", "--model", str(work / tuned.name), "--tasks", "shapeworld"),
            *("--limit", str(ITEMS), "--baselines", "none", "--output", str(work / folder)),
        ),
        needs=(tuned.name,),
        result="results.json",
    )


def _stage(
    stage: str, work: Path, changes: Options, source: Options, needs: tuple[str, ...]
) -> Job:
    """Return one stage, named by all that was changed up to it."""
    said = ",".join(f"{key}={value}" for key, value in changes.items() if key != "bf16")
    plain = "".join(letter if letter.isalnum() or letter in "=,_" else "" for letter in said)
    begin = "demo" if stage == "pretrain" else "unpretrained"
    before = needs[0].split("/", 1)[1] if needs else begin
    name = f"{stage}/{'+'.join(filter(None, (before, plain)))}"
    steps, warmup = str(STEPS[stage]), str(WARMUP[stage])
    given = {"max_steps": steps, "warmup_steps": warmup, "save_steps": steps, **source, **changes}
    words = [word for key, value in given.items() for word in (f"--{key}", value)]
    return Job(
        name=name,
        module=f"videollm.train.{stage}",
        arguments=(f"shapes_{stage}", "--output_dir", str(work / name), *words),
        needs=needs,
        result=RESULTS[stage],
    )


def _scores(path: Path) -> dict[str, Any]:
    """Return what is kept on record of a finished evaluation."""
    (task,) = json.loads(path.read_text(encoding="utf-8"))["tasks"].values()
    model = task["conditions"]["model"]
    report = environment_report()
    return {
        "overall": model["overall"]["accuracy"],
        "interval": model["overall"]["interval"],
        "families": {name: score["accuracy"] for name, score in model["families"].items()},
        "num_items": task["num_items"],
        "steps": STEPS,
        "commit": source_commit(),
        "cpu": f"{report['cpu']['name']} with {report['cpu']['threads']} threads",
    }


def ablation_table(record: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of all variants on record, in percent."""
    rows = []
    for name in VARIANTS:
        if name in record:
            scores = record[name]
            low, high = scores["interval"]
            shown = (scores["families"].get(family) for family in SHOWN)
            cells = ["-" if share is None else f"{100 * share:.0f}" for share in shown]
            overall = f"{100 * scores['overall']:.1f} ({100 * low:.1f} to {100 * high:.1f})"
            rows.append([name, overall, *cells])
    return markdown_table(["variant", "all (95 %)", *SHOWN], rows)


if __name__ == "__main__":
    sys.exit(main())
