"""A clip, engines that are always closed, and the chat page in a browser."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.fakes import LIMIT, FakeModel, Pace, serving
from videollm.serve.engine import Engine
from videollm.serve.samples import Sample, load_samples
from videollm.toyworld import make_scene, render_frames, write_clip

if TYPE_CHECKING:
    from openai import OpenAI
    from playwright.sync_api import Browser, Page

BROWSER_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]


@pytest.fixture(scope="session")
def clip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    write_clip(render_frames(make_scene("val", 0), size=64, num_frames=8), path, fps=4)
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder, for $VIDEOLLM_CACHE, whose sample clips are made once a session."""
    folder = tmp_path_factory.mktemp("cache")
    load_samples(folder / "samples")
    return folder


@pytest.fixture(scope="session")
def samples(cache: Path) -> list[Sample]:
    return load_samples(cache / "samples")


@pytest.fixture
def start_engine() -> Iterator[Callable[..., Engine]]:
    """Return a function that starts an engine on a model, or on whatever `load` does."""
    engines: list[Engine] = []

    def start(
        model: object = None, load: Callable[[], object] | None = None, **options: Any
    ) -> Engine:
        engine = Engine("demo", load or (lambda: model), **options)  # type: ignore[arg-type]
        engines.append(engine)
        engine.start()
        return engine

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return pictures of the toy world as the browser's fake camera takes them (y4m)."""
    import av

    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    clip = render_frames(make_scene("val", 3), size=128, num_frames=32)
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W128 H128 F8:1 Ip A1:1 C420jpeg\n")
        for frame in clip.frames:
            picture = av.VideoFrame.from_ndarray(
                frame.permute(1, 2, 0).contiguous().numpy(), format="rgb24"
            )
            file.write(b"FRAME\n" + picture.reformat(format="yuvj420p").to_ndarray().tobytes())
    return path


@pytest.fixture(scope="module")
def browser(camera_file: Path) -> Iterator["Browser"]:
    from playwright.sync_api import expect, sync_playwright

    from tests.serve.visitor import PATIENCE

    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((path for name in names if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("no chromium in PATH: apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    arguments = [*BROWSER_ARGUMENTS, f"--use-file-for-fake-video-capture={camera_file}"]
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pace() -> Pace:
    return Pace()


@pytest.fixture(scope="module")
def model(pace: Pace) -> FakeModel:
    return FakeModel(before_piece=pace)


@pytest.fixture(scope="module")
def address(model: FakeModel, pace: Pace, samples: list[Sample]) -> Iterator[str]:
    pytest.importorskip("gradio", reason="the extra 'serve' is not installed")
    from videollm.serve.web import create_app

    engine = Engine("demo", lambda: model)  # type: ignore[arg-type, return-value]
    with serving(lambda: create_app(engine, samples, max_upload_bytes=LIMIT)) as address:
        yield address
        pace.free.set()


@pytest.fixture
def page(browser: "Browser", address: str, pace: Pace) -> Iterator["Page"]:
    """Open the page as a new visitor; fail if it asks any other server for anything."""
    from tests.serve.visitor import enter

    pace.free.set()
    with browser.new_context(viewport={"width": 1280, "height": 820}) as visitor:
        asked: list[str] = []
        visitor.on("request", lambda request: asked.append(request.url))
        yield enter(visitor, address)
        pace.free.set()
        elsewhere = [url for url in asked if not url.startswith((f"{address}/", "data:", "blob:"))]
        assert asked
        assert elsewhere == []


@pytest.fixture(scope="module")
def fake_pace() -> Pace:
    return Pace()


@pytest.fixture(scope="module")
def fake(fake_pace: Pace) -> FakeModel:
    return FakeModel(before_piece=fake_pace)


@pytest.fixture(scope="module")
def engine(fake: FakeModel) -> Engine:
    return Engine("demo", lambda: fake, max_waiting=2, max_batch=1)  # type: ignore[arg-type, return-value]


@pytest.fixture(scope="module")
def api(engine: Engine, fake_pace: Pace) -> Iterator[str]:
    pytest.importorskip("gradio", reason="the extra 'serve' is not installed")
    from tests.serve.api_calls import LIMIT
    from videollm.serve.web import create_app

    with serving(lambda: create_app(engine, None, max_upload_bytes=LIMIT)) as address:
        yield address
        fake_pace.free.set()


@pytest.fixture
def client(api: str, fake_pace: Pace) -> Iterator["OpenAI"]:
    fake_pace.free.set()
    from tests.serve.api_calls import connect

    with connect(api) as client:
        yield client
