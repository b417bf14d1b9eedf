"""Preference tuning: what equal answers lose, what is learnt, and the life of the adapter."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
import torch

from tests.tiny import needs_bitsandbytes
from tests.train.runs import (
    assert_same,
    encoder_with,
    killed_at,
    losses,
    refusal,
    run,
    weights,
    write_videos,
)
from videollm.api import VideoLLM
from videollm.lora import ADAPTER_CONFIG
from videollm.train.callbacks import read_metrics
from videollm.train.pair_collator import PairCollator

needs_trl = pytest.mark.skipif(
    importlib.util.find_spec("trl") is None,
    reason="TRL is not installed (pip install 'videollm[dpo]')",
)
FAST = ["--learning_rate", "0.01", "--projector_learning_rate", "0.001", "--logging_steps", "1"]
FAST += ["--max_steps", "4", "--save_steps", "2", "--report_to", "none"]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, tiny_llm: Path) -> dict[str, list[str]]:
    """Return words for a run on pairs, for one on equal answers, and for one that goes on."""
    folder = tmp_path_factory.mktemp("dpo")
    write_videos(folder, ["a.mp4", "b.mp4"])
    aligned = folder / "aligned"
    words = [*encoder_with(), "--language_model", str(tiny_llm), "--max_steps", "1"]
    run("align", "tiny_align", aligned, *words)
    media = [{"video": "a.mp4"}, {"video": "b.mp4"}, {}, {"video": "a.mp4"}]
    for name, rejected in (("pairs", "a dog"), ("equal", "a ball")):
        pair = {"prompt": "What rolls?", "chosen": "a ball", "rejected": rejected}
        lines = [json.dumps({**item, **pair}) for item in media]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    usual = ["--model", str(aligned), "--encoder_overrides", "{}", *FAST]
    found = {
        name: ["--data_path", str(folder / f"{name}.jsonl"), *usual] for name in ("pairs", "equal")
    }
    taught = run("instruct", "tiny_instruct", folder / "taught", *usual, "--num_clips", "8")
    found["further"] = [*found["pairs"], "--model", str(taught)]
    return found


@pytest.fixture(scope="module")
def preferred(start: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("trl") is None:
        pytest.skip("TRL is not installed (pip install 'videollm[dpo]')")
    return run("dpo", "tiny_dpo", tmp_path_factory.mktemp("out") / "run", *start["pairs"])


@needs_trl
def test_equal_answers_lose_ln_2_at_every_step(start: dict[str, list[str]], tmp_path: Path) -> None:
    folder = run("dpo", "tiny_dpo", tmp_path, *start["equal"])
    assert list(losses(folder).values()) == pytest.approx([math.log(2)] * 4, abs=1e-6)


def margin(model: VideoLLM) -> float:
    """Return how much likelier "a ball" is than "a dog", in logarithms, without a video."""
    from videollm.train.examples import Example

    ask = {"role": "user", "content": "What rolls?"}
    dialogues = tuple((ask, {"role": "assistant", "content": text}) for text in ("a ball", "a dog"))
    batch = PairCollator(processor=model.processor)([Example((), dialogues)])
    wanted = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    with torch.no_grad():
        logits = model.model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), wanted[:, 1:].flatten(), reduction="none"
    )
    lost = loss.unflatten(0, (2, -1)).sum(dim=1)
    return float(lost[1] - lost[0])


@needs_trl
def test_the_wanted_answer_becomes_likelier(preferred: Path, start: dict[str, list[str]]) -> None:
    records = [record for record in read_metrics(preferred) if "loss" in record]
    assert records[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert records[-1]["loss"] < 0.69
    assert records[-1]["rewards/margins"] > records[1]["rewards/margins"] > 0
    assert "num_tokens" not in records[0]
    base = start["pairs"][start["pairs"].index("--model") + 1]
    before, after = (VideoLLM.from_pretrained(name, dtype="float32") for name in (base, preferred))
    assert margin(after) > margin(before) + 0.05
    assert "DPO" not in (preferred / "README.md").read_text()
    assert "videollm dpo" in (preferred / "README.md").read_text()


@needs_trl
@pytest.mark.parametrize("name", ["pairs", "further"])
def test_killed_and_resumed_equals_uninterrupted(
    name: str,
    start: dict[str, list[str]],
    preferred: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = preferred
    if name == "further":
        whole = run("dpo", "tiny_dpo", tmp_path / "whole", *start[name])
        # The reference is the adapter as it was, not the model without it.
        assert losses(whole)[1] == pytest.approx(math.log(2), abs=1e-6)
        assert not (whole / "adapter" / "ref").exists()
    killed_at(3, monkeypatch, "dpo", "tiny_dpo", tmp_path / "killed", *start[name])
    resumed = run("dpo", "tiny_dpo", tmp_path / "killed", *start[name])
    assert losses(resumed) == losses(whole)
    assert_same(weights(resumed / "adapter"), weights(whole / "adapter"))


@needs_trl
@needs_bitsandbytes
def test_what_learns_beside_four_bits_stays_exact(
    start: dict[str, list[str]], tmp_path: Path
) -> None:
    folder = run("dpo", "tiny_dpo", tmp_path, *start["pairs"], "--tuning", "qlora")
    assert losses(folder)[4] < losses(folder)[1]
    assert {value.dtype for value in weights(folder / "adapter").values()} == {torch.float32}
    config = json.loads((folder / "adapter" / ADAPTER_CONFIG).read_text())
    assert config["modules_to_save"] == ["projector"]
    moved = weights(folder / "adapter")
    rounded = {name: value.to(torch.bfloat16).float() for name, value in moved.items()}
    assert any(not torch.equal(rounded[name], value) for name, value in moved.items())


@needs_trl
@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--tuning", "full"], "tuning: full has no adapter, and the reference is"),
        (["--lora_dropout", "0.1"], "lora_dropout: 0.1 given; dpo compares"),
        (["--beta", "0"], "beta: 0.0 given, above 0 allowed"),
    ],
)
def test_what_has_no_reference_is_refused(
    more: list[str],
    told: str,
    start: dict[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert told in refusal(capsys, "dpo", "tiny_dpo", tmp_path, *start["pairs"], *more)


def test_without_trl_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    told = refusal(capsys, "dpo", "tiny_dpo", tmp_path)
    assert told.startswith("error: dpo needs TRL: run pip install 'videollm[dpo]', or pip install")
