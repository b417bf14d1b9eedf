"""Devices, number formats, cache folder, seeds, logging: what they promise on any machine."""

import contextlib
import json
import logging
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from videollm import runtime
from videollm.errors import RequestError


def test_cache_follows_the_environment_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIDEOLLM_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert runtime.cache_dir() == tmp_path / "ours"
    monkeypatch.delenv("VIDEOLLM_CACHE")
    assert runtime.cache_dir() == tmp_path / "xdg" / "videollm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert runtime.cache_dir() == Path.home() / ".cache" / "videollm"
    assert not (tmp_path / "ours").exists(), "asking for the folder must not make it"


def test_auto_device_is_cuda_exactly_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert runtime.pick_device("auto").type == expected
    assert runtime.pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "'gpu' is unknown"),
        ("cuda:99", "'cuda:99' is not here"),
        ("meta", "'meta' is not supported"),
        ("", "'' is unknown"),
    ],
)
def test_device_that_is_not_here_is_named(name: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        runtime.pick_device(name)


@pytest.mark.parametrize("fast", [True, False])
def test_auto_dtype_is_bf16_only_where_it_is_fast(
    monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(runtime, "cpu_has_fast_bf16", lambda: fast)
    assert runtime.pick_dtype("auto", "cpu") is (torch.bfloat16 if fast else torch.float32)
    assert runtime.pick_dtype("auto", "cuda") is torch.bfloat16
    assert runtime.pick_dtype("auto", "mps") is torch.float32


def test_bf16_probe_agrees_with_the_kernel() -> None:
    table = Path("/proc/cpuinfo")
    if not table.is_file():
        pytest.skip("only Linux lists its CPU's flags")
    text = table.read_text()
    flags = text.partition("flags")[2].partition("\n")[0].split()
    is_intel = "GenuineIntel" in text
    expected = "amx_tile" in flags or ("avx512_bf16" in flags and not is_intel)
    assert runtime.cpu_has_fast_bf16() == expected


@pytest.mark.parametrize(
    ("amx", "avx512", "vendor", "fast"),
    [
        (True, True, "GenuineIntel", True),
        (False, True, "GenuineIntel", False),
        (False, True, "AuthenticAMD", True),
        (False, False, "AuthenticAMD", False),
    ],
)
def test_bf16_is_fast_with_amx_or_on_amd(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512: bool, vendor: str, fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    monkeypatch.setattr(runtime, "_cpu_fact", lambda key: {"vendor_id": vendor}[key])
    assert runtime.cpu_has_fast_bf16() is fast


def test_dtype_names_and_their_short_forms_agree() -> None:
    assert runtime.pick_dtype("bf16") is runtime.pick_dtype("bfloat16") is torch.bfloat16
    assert runtime.pick_dtype("fp16") is runtime.pick_dtype("float16") is torch.float16
    assert runtime.pick_dtype("fp32") is runtime.pick_dtype("float32") is torch.float32
    with pytest.raises(RequestError, match=r"'int8' is unknown: use auto or one of float32"):
        runtime.pick_dtype("int8")


def test_same_seed_gives_same_numbers_everywhere() -> None:
    states = random.getstate(), np.random.get_state()
    draws = []
    for _ in range(2):
        runtime.set_seed(7)
        draws.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    random.setstate(states[0])
    np.random.set_state(states[1])
    assert draws[0] == draws[1]


def test_peak_memory_sees_an_allocation_and_remembers_it() -> None:
    code = """
from videollm.runtime import peak_rss_bytes as peak
before = peak(); ballast = b"x" * 2**26; during = peak(); del ballast
print(before, during, peak())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, during, after = map(int, run.stdout.split())
    assert before > 2**22, "a Python process needs some MiB: the unit is bytes"
    assert 2**25 < during - before < 2**28
    assert after > during - 2**22, "the kernel counts in batches, but a peak stays"


def test_messages_go_to_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    runtime.configure_logging()
    runtime.configure_logging()
    logging.getLogger("videollm.somewhere").info("hello")
    logging.getLogger("videollm.somewhere").debug("details")
    logging.getLogger("stranger").info("not ours")
    captured = capsys.readouterr()
    assert captured.err == "hello\n"
    assert captured.out == ""
    runtime.configure_logging(verbose=True)
    logging.getLogger("videollm.somewhere").debug("details")
    assert capsys.readouterr().err == "videollm.somewhere: details\n"


def test_quiet_transformers_restores_what_it_found() -> None:
    from transformers.utils import logging as hf_logging

    def state() -> tuple[int, bool]:
        return hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()

    before = state()
    with contextlib.suppress(ZeroDivisionError), runtime.quiet_transformers():
        assert state() == (logging.ERROR, False)
        raise ZeroDivisionError
    assert state() == before


def test_demo_checkpoint_needs_a_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtime, "__file__", str(tmp_path / "videollm" / "runtime.py"))
    beside, inside = tmp_path / "checkpoints/demo", tmp_path / "videollm/checkpoints/demo"
    beside.mkdir(parents=True)
    assert runtime.demo_checkpoint() is None
    (beside / "config.json").write_text("{}")
    assert runtime.demo_checkpoint() == beside
    inside.mkdir(parents=True)
    (inside / "config.json").write_text("{}")
    assert runtime.demo_checkpoint() == inside, "an installed wheel carries its own"


def test_environment_report_is_json_and_true() -> None:
    report = json.loads(json.dumps(runtime.environment_report()))
    assert torch.__version__.startswith(report["packages"]["torch"].partition("+")[0])
    assert report["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "libavcodec" in report["ffmpeg"]
    assert report["cpu"]["name"]
    assert report["cpu"]["threads"] == torch.get_num_threads()


def test_importing_runtime_is_light() -> None:
    code = "import sys, videollm.runtime as r; r.cache_dir(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_resident_memory_is_below_its_peak() -> None:
    assert 0 < runtime.rss_bytes() <= runtime.peak_rss_bytes()
