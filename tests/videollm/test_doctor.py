"""The doctor: it reports what is there, tries it, and says how to get the rest."""

import importlib.metadata
import json
import re
from pathlib import Path

import pytest

from videollm import doctor, packaged_llm
from videollm.encoder.kernels import BackendStatus
from videollm.errors import VideoError


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("VIDEOLLM_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> list[BackendStatus]:
    """Replace the trial of the scans, which may compile for a minute."""
    found = [
        BackendStatus(name="quick", available=True, works=True, chosen=True, reason=""),
        BackendStatus(
            name="exotic", available=False, works=False, chosen=False, reason="no [gpu] here"
        ),
    ]
    monkeypatch.setattr("videollm.encoder.kernels.probe_backends", lambda _: found)
    return found


@pytest.mark.usefixtures("backends", "empty_cache")
def test_report_is_json_with_every_part(tmp_path: Path) -> None:
    report = json.loads(json.dumps(doctor.collect_report()))
    assert set(report) == {
        "works",
        "environment",
        "device",
        "dtype",
        "cache",
        "scan_backends",
        "decoder",
        "video_backends",
        "language_model",
        "demo_checkpoint",
        "extras",
    }
    assert report["works"] is True
    assert report["decoder"]["works"] is True
    assert report["cache"] == str(tmp_path)
    assert [backend["name"] for backend in report["scan_backends"]] == ["quick", "exotic"]
    assert report["scan_backends"][1]["reason"] == "no [gpu] here"
    pyav, *others = report["video_backends"]
    assert (pyav["name"], pyav["works"], pyav["chosen"]) == ("pyav", True, True)
    assert all(bool(other["reason"]) != other["works"] for other in others)


@pytest.mark.usefixtures("backends")
def test_language_model_is_seen_when_complete(empty_cache: Path) -> None:
    before = doctor.collect_report()["language_model"]
    assert before["present"] is False
    assert before["folder"] is None
    assert "python -m videollm.packaged_llm" in before["remedy"]
    folder = packaged_llm.folder()
    folder.mkdir(parents=True)
    for name in packaged_llm._READY_FILES:
        (folder / name).touch()
    after = doctor.collect_report()["language_model"]
    assert after == {
        "name": "smollm2-135m-instruct",
        "present": True,
        "folder": str(folder),
        "remedy": None,
    }


@pytest.mark.usefixtures("backends", "empty_cache")
def test_missing_extra_names_its_packages_and_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == "gradio":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    report = doctor.collect_report()
    assert report["extras"]["serve"] == {
        "installed": False,
        "missing": ["gradio"],
        "remedy": "pip install 'videollm[serve]'",
    }
    assert "gradio" not in report["extras"]["train"]["missing"]
    doctor.print_report(report)
    table = " ".join(capsys.readouterr().out.split())
    assert "extra serve no without gradio: pip install 'videollm[serve]'" in table
    assert "scan exotic no no [gpu] here" in table, "brackets must not be taken for markup"
    assert "scan quick ok chosen" in table


def test_extras_are_those_of_the_project_file() -> None:
    provided = set(importlib.metadata.metadata("videollm").get_all("Provides-Extra") or [])
    assert set(doctor._EXTRAS) <= provided
    wanted = [line for line in importlib.metadata.requires("videollm") or [] if "gradio" in line]
    assert any(re.search(r"extra == ['\"]serve['\"]", line) for line in wanted)


@pytest.mark.usefixtures("backends", "empty_cache")
def test_broken_decoder_is_told_and_breaks_the_core(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: bytes) -> None:
        raise VideoError("clip", "nothing decodes", "reinstall av")

    monkeypatch.setattr("videollm.video.VideoReader.open", refuse)
    report = doctor.collect_report()
    assert report["works"] is False
    assert report["decoder"]["works"] is False
    doctor.print_report(report)
    assert re.search(r"video decoder\s+BROKEN\s+clip: nothing decodes", capsys.readouterr().out)


@pytest.mark.usefixtures("empty_cache")
def test_no_scan_at_all_breaks_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videollm.encoder.kernels.probe_backends", lambda _: [])
    assert doctor.collect_report()["works"] is False
