"""One evaluation with a real model, tiny and untrained: every part meets its neighbour."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.tiny import needs_bitsandbytes
from videollm.encoder.config import VideoMAPConfig
from videollm.eval.predictions import read_predictions
from videollm.eval.run import main
from videollm.model import VideoLLMForConditionalGeneration
from videollm.processor import VideoLLMProcessor

WORDS = "<unk> </s> red blue left right yes no is the what colour ? . : 0 1 2 3 4 s"
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} : {{ message['content'] }} </s> "
    "{% endfor %}{% if add_generation_prompt %}assistant : {% endif %}"
)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a saved model with 16-pixel frames and a vocabulary of words."""
    folder = tmp_path_factory.mktemp("models")
    vocabulary = {word: number for number, word in enumerate(WORDS.split())}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder / "text")
    text_config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(text_config).save_pretrained(folder / "text")
    encoder = VideoMAPConfig(
        image_size=16,
        patch_size=8,
        hidden_size=16,
        num_layers=2,
        layer_pattern="MT",
        num_attention_heads=2,
        num_frames=4,
        scan_mode="frame_causal",
        attention_window=2,
        temporal_position="rotary",
        use_cls_token=False,
    )
    model = VideoLLMForConditionalGeneration.from_parts(
        encoder, str(folder / "text"), tokens_per_frame=1
    )
    model.save_pretrained(folder / "model")
    VideoLLMProcessor.from_config(model.config, tokenizer).save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture(autouse=True)
def _few_majority_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videollm.eval.toyworld._MAJORITY_SCENES", range(20))


def command(model: Path, output: Path, *more: str) -> list[str]:
    words = ["--model", str(model), "--output", str(output), "--limit", "7", "--batch-size", "3"]
    return [*words, "--max-new-tokens", "3", "--dtype", "float32", "--device", "cpu", *more]


def test_a_real_model_is_evaluated_resumed_and_rescored(tiny_model: Path, tmp_path: Path) -> None:
    assert main(command(tiny_model, tmp_path / "whole")) == 0
    log = tmp_path / "whole" / "predictions.jsonl"
    predictions = read_predictions(log)
    assert len(predictions) == 7 * 5
    assert {len(p.frame_seconds) for p in predictions if p.condition == "shuffled"} == {4}

    results = json.loads((tmp_path / "whole" / "results.json").read_text(encoding="utf-8"))
    assert results["model"]["dtypes"]["language_model"] == "float32"
    assert results["frames"] == {"num_frames": 4, "fps": None, "size": 16, "policy": "uniform"}

    killed = tmp_path / "killed"
    assert main(command(tiny_model, killed)) == 0
    assert (killed / "predictions.jsonl").read_bytes() == log.read_bytes()
    (killed / "results.json").unlink()
    (killed / "predictions.jsonl").write_bytes(log.read_bytes()[:2000])
    assert main(command(tiny_model, killed)) == 0
    assert (killed / "predictions.jsonl").read_bytes() == log.read_bytes()

    before = (tmp_path / "whole" / "results.json").read_bytes()
    assert main(["--rescore", str(tmp_path / "whole")]) == 0
    assert (tmp_path / "whole" / "results.json").read_bytes() == before


def test_the_record_does_not_depend_on_where_the_model_lies(
    tiny_model: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in tiny_model.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    records = []
    for number, folder in enumerate((tiny_model, moved)):
        output = tmp_path / str(number)
        assert main(command(folder, output, "--baselines", "none")) == 0
        record = json.loads((output / "results.json").read_text(encoding="utf-8"))["model"]
        assert record.pop("name") == str(folder)
        records.append(record)
    assert records[0] == records[1]


@needs_bitsandbytes
def test_a_model_in_four_bits_is_evaluated_and_recorded_as_such(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["--baselines", "none", "--quantization", "nf4"]
    assert main(command(tiny_model, tmp_path / "four", *told)) == 0
    results = json.loads((tmp_path / "four" / "results.json").read_text(encoding="utf-8"))
    assert results["settings"]["quantization"] == "nf4"
    assert results["model"]["quantization"] == "nf4"
    capsys.readouterr()
    assert main(command(tiny_model, tmp_path / "four", "--baselines", "none")) == 2
    assert "quantization" in capsys.readouterr().err
    assert main(command(tiny_model, tmp_path / "two", "--quantization", "two")) == 2
    assert "quantization 'two' is unknown: use one of nf4, int8" in capsys.readouterr().err


def test_clips_pass_through_files(tiny_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    assert main(command(tiny_model, output, "--mp4", "--baselines", "single_frame")) == 0
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert results["tasks"]["toyworld"]["clips"]["source"] == "h264"


def test_an_unknown_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "nosuchmodel", "--output", str(tmp_path / "run")]) == 2
    assert "nosuchmodel" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()
