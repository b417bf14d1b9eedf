"""What a run leaves: the tuned model, and its card with data, settings, code, time and losses."""

import subprocess
from pathlib import Path
from typing import Any

from videollm.card import describe_model, table, write_card
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor
from videollm.runtime import environment_report
from videollm.train.callbacks import read_metrics
from videollm.train.recipe import RECIPE_FILE
from videollm.train.sharding import whole_state
from videollm.train.stage import Run
from videollm.train.tuning import Tuning

__all__ = ["write_run_card", "write_tuned"]

_DATA_KEYS = (
    "dataset",
    "data_path",
    "num_clips",
    "num_frames",
    "questions_per_clip",
    "families",
    "world_seed",
    "max_length",
)
_SETTING_KEYS = (
    "tuning",
    "beta",
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "lora_targets",
    "lora_rslora",
    "train_projector",
    "train_encoder",
    "modules_to_save",
    "learning_rate",
    "projector_learning_rate",
    "encoder_learning_rate",
    "adapter_learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "neftune_noise_alpha",
    "activation_checkpointing",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "seed",
)


def write_tuned(
    run: Run,
    tuning: Tuning,
    model: VideoLLMForConditionalGeneration,
    processor: VideoLLMProcessor,
    *,
    text_model: str | None,
    license_name: str | None,
) -> None:
    """Write the model that a run has tuned, its processor and its card; all processes call it.

    Args:
        run: The finished run.
        tuning: What has learnt.
        model: Its model.
        processor: That of the model.
        text_model: As `write_run_card` takes it.
        license_name: Likewise.
    """
    state = whole_state(tuning.trained)
    if not run.args.should_save:
        return
    tuning.save(run.args.folder, state)
    processor.save_pretrained(run.args.folder)
    write_run_card(
        run, model, text_model=text_model, adapter=tuning.description, license_name=license_name
    )


def write_run_card(
    run: Run,
    model: VideoLLMForConditionalGeneration,
    *,
    text_model: str | None,
    adapter: str | None,
    license_name: str | None,
) -> None:
    """Write the card into the run's folder.

    Args:
        run: The finished run.
        model: Its model.
        text_model: Name of the language model that the run began with, where it has one.
        adapter: What its adapter is, in words; None where it has none.
        license_name: Licence of the weights, if the recipe says so.
    """
    write_card(
        run.args.folder,
        title=run.args.folder.name,
        sections=[
            describe_model(model, adapter=adapter),
            f"## Data\n\n{table(('key', 'value'), _rows(run.values, _DATA_KEYS))}",
            f"## Settings\n\nAll are in `{RECIPE_FILE}`.\n\n"
            f"{table(('key', 'value'), _rows(run.values, _SETTING_KEYS))}",
            f"## Training\n\n{table(('what', 'value'), _facts(run))}",
        ],
        text_model=text_model,
        license_name=license_name,
    )


def _rows(values: dict[str, Any], keys: tuple[str, ...]) -> list[tuple[str, object]]:
    found = [(key, values.get(key)) for key in keys]
    return [
        (key, ", ".join(_short(item) for item in value) if isinstance(value, list) else value)
        for key, value in found
        if value is not None and value != []
    ]


def _short(value: object) -> str:
    """Return a path's last name: where it lay on this machine is nobody else's matter."""
    return Path(value).name if isinstance(value, str) else str(value)


def _facts(run: Run) -> list[tuple[str, object]]:
    report = environment_report()
    records = [record for record in read_metrics(run.args.folder) if "loss" in record]
    validation = [r["eval_loss"] for r in read_metrics(run.args.folder) if "eval_loss" in r]
    counted = "rows" if run.values.get("row_tokens") else "samples"
    facts: list[tuple[str, object]] = [("stage", f"videollm {run.stage}")]
    if records:
        facts += [
            ("steps", records[-1]["step"]),
            (f"{counted} a step", run.args.samples_per_step),
            ("first logged loss", f"{records[0]['loss']:.4f}"),
            ("last logged loss", f"{records[-1]['loss']:.4f}"),
            ("training time", f"{_minutes(run, records):.1f} minutes"),
        ]
    if validation:
        facts.append(("last validation loss", f"{validation[-1]:.4f}"))
    versions = [f"{name} {found}" for name, found in report["packages"].items() if found]
    cpu = report["cpu"]
    return [
        *facts,
        ("processes", run.args.world_size),
        ("hardware", ", ".join(report["cuda"]) or f"{cpu['name']}, {cpu['threads']} threads"),
        ("commit", _commit() or "not a checkout"),
        ("versions", ", ".join(versions)),
    ]


def _minutes(run: Run, records: list[dict[str, Any]]) -> float:
    """Return the time between the logs of all parts of a run that may have been resumed."""
    seconds, before = 0.0, 0
    for record in records:
        samples = (record["step"] - before) * run.args.samples_per_step
        seconds += samples / max(record.get("samples_per_second", 0.0), 1e-9)
        before = record["step"]
    return seconds / 60


def _commit() -> str | None:
    """Return the commit of the checkout that runs, with a mark where it was changed."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
