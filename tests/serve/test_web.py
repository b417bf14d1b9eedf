"""The web app: it answers at once, keeps to itself, and refuses what is too large."""

import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.fakes import FakeModel, serving, wait_until
from videollm.errors import ModelError
from videollm.serve.engine import Engine
from videollm.serve.sample_worlds import world_of
from videollm.serve.samples import Sample, load_samples, make_surprise
from videollm.video import VideoReader

LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def loaded() -> threading.Event:
    return threading.Event()


@pytest.fixture(scope="module")
def address(samples: list[Sample], loaded: threading.Event) -> Iterator[str]:
    """Serve a model that loads when `loaded` is set."""
    from videollm.serve.web import create_app

    def load() -> FakeModel:
        loaded.wait(60)
        return FakeModel()

    engine = Engine("demo", load)  # type: ignore[arg-type]
    with serving(lambda: create_app(engine, samples, max_upload_bytes=LIMIT)) as address:
        yield address
        loaded.set()


def page_config(address: str) -> dict[str, Any]:
    found = re.search(r"window\.gradio_config = (\{.*?\});</script>", httpx.get(address).text)
    assert found is not None
    config: dict[str, Any] = json.loads(found.group(1))
    return config


def test_the_page_is_there_while_the_model_still_loads(
    address: str, loaded: threading.Event
) -> None:
    assert httpx.get(f"{address}/healthz").json() == {"status": "loading", "model": "demo"}
    page = httpx.get(address)
    assert page.status_code == 200
    assert "<title>videollm</title>" in page.text or '"title":"videollm"' in page.text
    loaded.set()
    wait_until(lambda: httpx.get(f"{address}/healthz").json()["status"] == "ok")


def test_a_model_that_does_not_load_is_unhealthy(samples: list[Sample]) -> None:
    from videollm.serve.web import create_app

    def load() -> FakeModel:
        raise ModelError("nonsense: no such model")

    engine = Engine("nonsense", load)  # type: ignore[arg-type]
    with serving(lambda: create_app(engine, samples)) as address:
        assert engine.settled.wait(10)
        answer = httpx.get(f"{address}/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "failed", "model": "nonsense"}


def test_nothing_on_the_page_comes_from_elsewhere(address: str) -> None:
    page = httpx.get(address)
    loads = re.findall(
        r"<(?:script|link|img|iframe|source|video)\b[^>]*?(?:src|href)=[\"']([^\"']+)", page.text
    )
    assert loads
    for link in loads:
        assert not link.startswith(("http:", "https:", "//")) or link.startswith(address), link
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    theme = httpx.get(f"{address}/theme.css").text
    assert not re.search(r"url\(['\"]?(https?:)?//", theme)
    assert "@import" not in theme


def test_nothing_is_reported_to_anyone(address: str) -> None:
    config = page_config(address)
    assert config["analytics_enabled"] is False
    assert config["stylesheets"] in ([], [None]) or not any(config["stylesheets"])
    assert config.get("footer_links") == []
    assert not config.get("space_id")


def test_no_handler_is_offered_as_an_api(address: str) -> None:
    config = page_config(address)
    named = [one for one in config["dependencies"] if one.get("api_visibility") == "public"]
    assert named == []


def test_a_file_beyond_the_limit_is_refused(address: str) -> None:
    upload = {"files": ("large.mp4", b"x" * (LIMIT + 1))}
    answer = httpx.post(f"{address}/gradio_api/upload", files=upload)
    assert answer.status_code == 413
    assert str(LIMIT) in answer.text
    small = {"files": ("small.mp4", b"x" * 100)}
    assert httpx.post(f"{address}/gradio_api/upload", files=small).status_code == 200


def test_only_samples_are_readable(address: str, samples: list[Sample], tmp_path: Path) -> None:
    served = httpx.get(f"{address}/gradio_api/file={samples[0].path}")
    assert served.status_code == 200
    assert served.content == samples[0].path.read_bytes()
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    assert httpx.get(f"{address}/gradio_api/file={secret}").status_code == 403


def test_samples_are_the_same_on_every_machine(samples: list[Sample], tmp_path: Path) -> None:
    again = load_samples(tmp_path)
    assert [sample.questions for sample in again] == [sample.questions for sample in samples]
    assert [sample.picture for sample in again] == [sample.picture for sample in samples]


def test_a_model_of_the_shape_world_is_shown_its_own_clips(tmp_path: Path) -> None:
    assert world_of("demo") == "toy"
    assert world_of(tmp_path) == "toy"
    for recipe, world in (
        ("world: shapes\n", "shapes"),
        ("world: sky\n", "toy"),
        ("world: [shapes]\n", "toy"),
        ("}{", "toy"),
    ):
        (tmp_path / "recipe.yaml").write_text(recipe)
        assert world_of(tmp_path) == world
    samples = load_samples(tmp_path, "shapes")
    assert len(samples) == 11
    assert {sample.world for sample in samples} == {"shapes"}
    assert all(len(set(sample.questions)) >= 3 for sample in samples)
    assert max(sample.path.stat().st_size for sample in samples) < 600_000
    surprise = make_surprise(samples, 1)
    assert surprise.world == "shapes"
    assert surprise.path.read_bytes() != samples[0].path.read_bytes()


def test_a_surprise_is_a_new_clip_that_does_not_stay_for_ever(
    samples: list[Sample], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (make_surprise(samples, number) for number in (1, 2))
    assert first.path.read_bytes() != second.path.read_bytes()
    assert not {first.path, second.path} & {sample.path for sample in samples}
    assert len(set(first.questions)) == 3
    assert make_surprise(samples, 1) == first
    assert httpx.get(f"{address}/gradio_api/file={first.path}").status_code == 200
    os.utime(first.path.parents[1], (0, 0))
    make_surprise(samples, 2)
    assert not first.path.exists()
    assert second.path.exists()
    monkeypatch.setattr("videollm.serve.samples.KEEP_SURPRISES", 1)
    third = make_surprise(samples, 3)
    assert not second.path.exists()
    assert third.path.exists()


def test_samples_are_made_once_and_suit_the_page(samples: list[Sample]) -> None:
    *short, long = samples
    assert len(short) == 10
    assert len({sample.path for sample in samples}) == 11
    assert all(len(set(sample.questions)) >= 3 for sample in samples)
    assert all(sample.picture.startswith(b"\xff\xd8") for sample in samples)
    assert max(sample.path.stat().st_size for sample in short) < 500_000
    with VideoReader.open(long.path) as reader:
        assert reader.metadata.duration_seconds == pytest.approx(60.0)
    times = [sample.path.stat().st_mtime_ns for sample in samples]
    again = load_samples(samples[0].path.parents[2])
    assert [sample.path.stat().st_mtime_ns for sample in again] == times
