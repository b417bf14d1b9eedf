"""A clip, and engines that are always closed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from videollm.serve.engine import Engine
from videollm.serve.samples import Sample, load_samples
from videollm.toyworld import make_scene, render_frames, write_clip


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
