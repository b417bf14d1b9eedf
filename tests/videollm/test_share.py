"""merge, card and push on the command line, and the way to a hub and back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from tests.tiny import logits, shake, tiny_inputs, tiny_videollm
from tests.videollm.fake_hub import FakeHub, serve_hub
from videollm.adapter_record import describe_base
from videollm.cli import main
from videollm.errors import ModelError
from videollm.loading import load_model, resolve_model
from videollm.lora import LoraShape, attach_lora, save_adapter
from videollm.model import VideoLLMForConditionalGeneration

CPU = {"device": torch.device("cpu"), "dtype": torch.float32}


@pytest.fixture(scope="module")
def trained(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as instruct writes it."""
    folder = tmp_path_factory.mktemp("share") / "mine"
    model, processor = tiny_videollm(tiny_llm)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    record = describe_base(model)
    adapted = attach_lora(model, LoraShape(rank=2))
    shake(adapted)
    save_adapter(adapted, folder / "adapter", record=record, base=str(folder))
    (folder / "checkpoint-1").mkdir()
    (folder / "checkpoint-1" / "optimizer.pt").write_bytes(b"x")
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serve_hub(str(tmp_path / "cache")) as running:
        yield running


@pytest.fixture
def merged(trained: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "merged"
    assert main(["merge", str(trained), "--output", str(folder), "--dtype", "float32"]) == 0
    return folder


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def test_merge_writes_a_folder_whole_or_not_at_all(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "merged"
    assert main(["merge", str(trained), "--output", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    model, processor = load_model(target, **CPU)
    before, _ = load_model(trained, **CPU)
    inputs = tiny_inputs(processor)
    torch.testing.assert_close(logits(model, inputs), logits(before, inputs), atol=1e-4, rtol=1e-4)
    assert f'from_pretrained("{target.name}")' in (target / "README.md").read_text()
    told = complaint(capsys, "merge", str(trained), "--output", str(target))
    assert "is not empty: choose another folder" in told
    told = complaint(capsys, "merge", str(target), "--output", str(tmp_path / "again"))
    assert "has no adapter to merge" in told
    assert not (tmp_path / "again").exists()


def test_scores_go_into_the_card_and_replace_earlier_ones(
    merged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluation(name: str, accuracy: float) -> str:
        overall = {"accuracy": accuracy, "interval": [0.25, 0.75]}
        conditions = {"model": {"overall": overall}, "blind": {"overall": {"accuracy": 0.3}}}
        task = {"split": "val", "num_items": 8, "conditions": conditions}
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps({"tasks": {"toyworld": task}}))
        return str(tmp_path / name)

    first, second = evaluation("first", 0.5), evaluation("second", 0.625)
    for scores in (first, second):
        assert main(["card", str(merged), "--scores", scores]) == 0
    card = (merged / "README.md").read_text()
    assert "| toyworld | val | 8 | 62.5 | 25.0 to 75.0 | blind 30.0 |" in card
    assert card.count("## Scores") == 1
    assert "50.0 |" not in card
    assert card.index("## Scores") < card.index("## Licence")
    told = complaint(capsys, "card", str(merged), "--scores", str(tmp_path))
    assert "no results.json: finish the evaluation first" in told
    told = complaint(capsys, "card", str(tmp_path), "--scores", first)
    assert "no README.md: instruct and 'videollm merge' write one" in told


def test_a_pushed_model_comes_back_by_its_name(
    merged: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(merged), "me/whole", "--private"]) == 0
    assert capsys.readouterr().out.strip().endswith("/me/whole")
    assert hub.private == {"me/whole"}
    found = hub.repositories["me/whole"]
    assert {"config.json", "model.safetensors", "README.md", "tokenizer.json"} <= found.keys()
    model, processor = load_model("me/whole", **CPU)
    here, _ = load_model(merged, **CPU)
    inputs = tiny_inputs(processor)
    assert torch.equal(logits(model, inputs), logits(here, inputs))


def test_a_pushed_adapter_names_its_base_on_the_hub(
    trained: Path, merged: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    told = complaint(capsys, "push", str(trained), "me/named")
    assert "its language model" in told
    assert "is a folder of this machine: push what 'videollm merge' writes" in told
    told = complaint(capsys, "push", str(trained / "adapter"), "me/adapter")
    assert "push the base too and name it with --base owner/model" in told
    assert hub.repositories == {}
    # The base on the hub holds all its weights; the adapter fits it as it fits the base by name.
    model, processor = tiny_videollm(Path(resolve_text_model(trained)))
    model.config.text_model = None
    base = merged.parent / "base"
    model.save_pretrained(base)
    processor.save_pretrained(base)
    assert main(["push", str(base), "me/base"]) == 0
    assert main(["push", str(trained / "adapter"), "me/adapter", "--base", "me/base"]) == 0
    files = hub.repositories["me/adapter"]
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "me/base"
    assert str(trained.parent) not in files["adapter_config.json"].decode()
    assert load(files["adapter_model.safetensors"])
    assert not any("checkpoint" in name for name in files)
    loaded, _ = load_model("me/adapter", **CPU)
    here, _ = load_model(trained, **CPU)
    inputs = tiny_inputs(processor)
    torch.testing.assert_close(logits(loaded, inputs), logits(here, inputs))


def resolve_text_model(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text())["text_model"])


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_the_libraries_own_push_works(trained: Path, hub: FakeHub) -> None:
    model = VideoLLMForConditionalGeneration.from_pretrained(trained)
    adapted = attach_lora(model, LoraShape(rank=2))
    adapted.peft_config["default"].base_model_name_or_path = ""
    adapted.push_to_hub("me/by_peft")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= hub.repositories[
        "me/by_peft"
    ].keys()
    whole, processor = tiny_videollm(Path(resolve_text_model(trained)))
    whole.config.text_model = None
    whole.push_to_hub("me/by_transformers")
    processor.push_to_hub("me/by_transformers")
    again, _ = load_model("me/by_transformers", **CPU)
    inputs = tiny_inputs(processor)
    assert torch.equal(logits(again, inputs), logits(whole, inputs))


def test_names_that_lead_nowhere_are_told(
    trained: Path, merged: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match="me/none: no such model: neither a folder here nor"):
        resolve_model("me/none")
    assert "not a hub name: give owner/model" in complaint(capsys, "push", str(merged), "name")
    told = complaint(capsys, "push", str(merged), "others/model")
    assert "the hub did not take it" in told
    assert "'hf auth login' signs you in" in told
    assert "no config.json, so no model" in complaint(
        capsys, "push", str(merged.parent), "me/nothing"
    )


def test_without_a_hub_its_cache_is_asked(
    merged: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["push", str(merged), "me/kept"]) == 0
    first = resolve_model("me/kept").base

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    assert resolve_model("me/kept").base == first
    with pytest.raises(ModelError, match="nor in the hub's cache, and the hub cannot be reached"):
        resolve_model("me/never")
