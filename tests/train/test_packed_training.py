"""Runs over filled rows: on two processes, accumulated, or killed and resumed they end alike."""

import json
from pathlib import Path

import pytest
import torch

from tests.train.launching import launch
from tests.train.runs import PROGRAMS, QUIET, assert_same, killed_at, losses, refusal, run, weights
from tests.videollm.drawn import draw_video, numbered_frames
from videollm.train.callbacks import read_metrics

STEPS = 3


def write_data(folder: Path) -> Path:
    """Write texts and questions about two videos, so that some rows hold no video at all."""
    folder.mkdir()
    for name, frames in (("a", 12), ("b", 6)):
        (folder / f"{name}.mp4").write_bytes(draw_video(numbered_frames(frames)))
    records = []
    for number in range(16):
        turns = [{"from": "human", "value": f"What is {number}?"}]
        turns.append({"from": "gpt", "value": "more " * (number % 3 + 1)})
        media = {} if number % 4 else {"video": "ab"[number % 8 == 0] + ".mp4"}
        records.append({**media, "conversations": turns})
    (folder / "data.json").write_text(json.dumps(records))
    return folder / "data.json"


def arguments(data: Path, llm: Path) -> list[str]:
    given = ["--dataset", "llava", "--data_path", str(data), "--language_model", str(llm)]
    given += ["--num_frames", "2", "--max_length", "300", "--row_tokens", "420"]
    given += ["--shared_questions", "3", "--max_steps", str(STEPS), "--use_cpu", "true"]
    return [*given, "--dtype", "float32", "--save_steps", "1", "--learning_rate", "0.01", *QUIET]


def test_the_same_global_batch_of_rows_is_the_same_step(tiny_llm: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    batches = {"two": (1, 1), "one": (2, 1), "accumulated": (1, 2)}
    lines = {
        name: [
            *["tiny_instruct", "--output_dir", str(tmp_path / name), *arguments(data, tiny_llm)],
            *["--per_device_train_batch_size", str(size)],
            *["--gradient_accumulation_steps", str(steps)],
        ]
        for name, (size, steps) in batches.items()
    }
    launch("tests.train.stages_worker", [["instruct", *lines["two"]]])
    for name in ("one", "accumulated"):
        assert PROGRAMS["instruct"](lines[name]) == 0
    one = tmp_path / "one"
    assert losses(one).keys() == {1, 2, 3}
    for name in ("two", "accumulated"):
        assert losses(tmp_path / name) == pytest.approx(losses(one), rel=1e-5)
        for key, value in weights(one / "adapter").items():
            other = weights(tmp_path / name / "adapter")[key]
            torch.testing.assert_close(other, value, atol=2e-5, rtol=1e-3)
    record = read_metrics(one)[0]
    assert record["dialogues_per_second"] > record["samples_per_second"]


def test_killed_and_resumed_rows_are_those_of_an_uninterrupted_run(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*arguments(write_data(tmp_path / "data"), tiny_llm), "--max_steps", "5"]
    whole = run("instruct", "tiny_instruct", tmp_path / "whole", *command)
    killed = tmp_path / "killed"
    workers = [*command, "--dataloader_num_workers", "2"]
    killed_at(4, monkeypatch, "instruct", "tiny_instruct", killed, *workers)
    run("instruct", "tiny_instruct", killed, *workers)
    assert losses(killed) == losses(whole)
    assert_same(weights(killed / "adapter"), weights(whole / "adapter"))


def test_samples_of_a_length_and_padded_rows_train_too(
    tiny_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--language_model", str(tiny_llm), "--num_clips", "4", "--max_steps", "1"]
    grouped = [*common, "--train_sampling_strategy", "group_by_length"]
    run("instruct", "tiny_instruct", tmp_path / "grouped", *grouped)
    padded = run("instruct", "tiny_instruct", tmp_path / "padded", *common, "--packing", "false")
    packed = run("instruct", "tiny_instruct", tmp_path / "packed", *common)
    assert losses(padded) == pytest.approx(losses(packed), rel=1e-2)
    order = ["--train_sampling_strategy", "sequential"]
    told = refusal(capsys, "instruct", "tiny_instruct", tmp_path / "x", *common, *order)
    assert "sequential given, random or group_by_length allowed" in told
    eager = run(
        *("instruct", "tiny_instruct", tmp_path / "eager", *common),
        *("--attn_implementation", "eager"),
    )
    assert losses(eager) == pytest.approx(losses(packed), rel=1e-2)
    told = refusal(
        *(capsys, "instruct", "tiny_instruct", tmp_path / "x", *common),
        *("--attn_implementation", "nonesuch"),
    )
    assert "attn_implementation: nonesuch: " in told
    both = [*grouped, "--row_tokens", "2048"]
    told = refusal(capsys, "instruct", "tiny_instruct", tmp_path / "x", *both)
    assert "row_tokens and train_sampling_strategy: group_by_length: " in told
