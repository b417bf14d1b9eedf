"""The plan is the arithmetic of what is held: compared with the tensors of a session."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from tests.tiny import tiny_videollm
from videollm import VideoLLM
from videollm.cli import main
from videollm.cli_plan import parse_bytes, parse_size
from videollm.config import VideoLLMConfig
from videollm.encoder.config import base_config
from videollm.errors import ModelError, RequestError
from videollm.kv_cache import build_cache, can_cut
from videollm.llm_shapes import LLM_SHAPES, load_llm_config
from videollm.llm_sizes import TextSizes
from videollm.planning import PlanRequest, fitting_settings, make_plan
from videollm.stream_record import StreamOptions

GIB = 2**30
# Parameters that the models' cards give, in billions.
PUBLISHED = {
    "qwen3-0.6b": 0.6,
    "qwen3-1.7b": 1.7,
    "qwen3-4b": 4.0,
    "qwen3-8b": 8.2,
    "qwen3-14b": 14.8,
}


@pytest.mark.parametrize("kind", ["plain", "fp8"])
def test_what_is_planned_is_what_a_session_holds(tiny_llm: Path, kind: str) -> None:
    model = VideoLLM(*tiny_videollm(tiny_llm, tubelet_size=2), name="tiny")
    options = StreamOptions.of(budget_tokens=64, kv_cache=kind, chunk_frames=8)
    session = model.stream(budget_tokens=64, kv_cache=kind, chunk_frames=8)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (80, 3, 16, 16), generator=generator, dtype=torch.uint8)
    session.push(frames, torch.arange(80) / 2)
    session.answer("What?", max_new_tokens=2)
    stats = session.stats()
    request = PlanRequest(
        config=model.config, options=options, duration_seconds=40, max_new_tokens=2
    )
    plan = make_plan(request)
    assert (plan.num_frames, plan.all_tokens, plan.held_tokens) == (80, 160, 64)
    assert plan.parts["memory"] == stats.memory_bytes
    assert plan.parts["state"] == stats.state_bytes
    for part, planned in (
        (model.model.vision_model, "encoder"),
        (model.model.projector, "projector"),
        (model.model.language_model, "language_model"),
    ):
        held = sum(weight.nbytes for weight in part.parameters())
        assert plan.parts[planned] == held
    # The words around the video depend on the tokenizer: whole tokens, and fp8's scales.
    per_token = plan.parts["cache"] / (plan.prompt_tokens + 2)
    tokens = stats.cache_bytes / per_token
    assert tokens == pytest.approx(round(tokens), abs=0.3)


def test_only_a_whole_cache_can_be_cut() -> None:
    shape = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2}
    whole = AutoConfig.for_model("llama", **shape)
    sliding = AutoConfig.for_model("mistral", **shape, sliding_window=4)
    assert can_cut(build_cache("plain", whole))
    assert not can_cut(build_cache("plain", sliding))
    assert not can_cut(build_cache("fp8", whole))


@pytest.mark.parametrize("name", LLM_SHAPES)
def test_shapes_have_the_published_number_of_parameters(name: str) -> None:
    sizes = TextSizes.of(load_llm_config(name), torch.bfloat16)
    total = sizes.weight_bytes(None) / 2 / 1e9
    assert total == pytest.approx(PUBLISHED[name], rel=0.04)
    assert sizes.weight_bytes("nf4") < sizes.weight_bytes("int8") < sizes.weight_bytes(None)


def request(llm: str = "qwen3-4b", **changes: object) -> PlanRequest:
    config = VideoLLMConfig(
        vision_config=base_config(scan_mode="frame_causal"), text_config=load_llm_config(llm)
    )
    fields = {"config": config, "dtype": torch.bfloat16, "device_type": "cuda"}
    return PlanRequest(**{**fields, **changes})


def test_settings_that_fit_do_fit_and_the_next_larger_does_not() -> None:
    own = request()
    settings = fitting_settings(own, 8 * GIB)
    assert {one.quantization for one in settings} == {"int8", "nf4"}
    assert all(one.total_bytes <= 8 * GIB for one in settings)
    assert fitting_settings(own, GIB) == []
    longer = make_plan(request(duration_seconds=36000.0))
    assert longer.total_bytes == make_plan(own).total_bytes
    assert longer.plain_cache_bytes > 9 * make_plan(own).plain_cache_bytes


def test_a_bank_is_in_host_memory_and_bounded() -> None:
    options = StreamOptions.of(policy="retrieve", bank_mib=100)
    assert make_plan(request(options=options)).host_parts["bank"] == 100 * 2**20
    assert "bank" not in make_plan(request()).host_parts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 0.0}, "fps is 0.0; it must be above 0"),
        ({"quantization": "nf5"}, "quantization is 'nf5'; choose nf4 or int8"),
        ({"options": StreamOptions.of(budget_tokens=20)}, "8 recent frames of 16 tokens need 128"),
        ({"options": StreamOptions.of(kv_cache="none")}, "kv_cache is 'none'"),
    ],
)
def test_what_cannot_be_planned_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        request(**changes)


def test_sizes_are_read_and_refused() -> None:
    assert parse_bytes("8GiB") == 8 * GIB
    assert parse_bytes(" 1.5 gb") == 1_500_000_000
    for words in ("8", "0GiB", "many"):
        with pytest.raises(RequestError, match="write a size as 8GiB"):
            parse_bytes(words)
    assert parse_size("1920 x 1080") == (1920, 1080)
    with pytest.raises(RequestError, match="write WIDTHxHEIGHT"):
        parse_size("720p")
    with pytest.raises(ModelError, match="or one of qwen3-0.6b"):
        load_llm_config("no/such/folder/anywhere")


def test_the_command_plans_by_config_alone(
    tiny_llm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", "--llm", str(tiny_llm), "--encoder", "demo", "--memory", "8GiB"]
    assert main([*words, "--json", "--budget-tokens", "256"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["held_tokens"] == 256
    assert record["total_bytes"] == sum(record["parts"].values())
    assert all(value > 0 for value in record["seconds"].values())
    assert record["fits"]
    assert main([*words, "--no-time", "--gpu"]) == 0
    printed = capsys.readouterr().out
    assert "what fits 8GiB:" in printed
    assert "GiB" in printed
    assert main(["plan", "--image-size", "64"]) == 2
    assert main(["plan", "--llm", "qwen3-4b", "--encoder", "huge"]) == 2
    errors = capsys.readouterr().err
    assert "--image-size goes with --llm" in errors
    assert "--encoder is 'huge'" in errors
