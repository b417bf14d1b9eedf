"""Fifty clients at once: every answer is the asker's own, nothing breaks, leaving frees the engine.

`python -m benchmarks.serve_load` does the same for three minutes with the released model.
"""

import time
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the extra 'serve' is not installed")

from benchmarks.serve_load import make_bodies, run_load  # noqa: E402
from tests.serve.fakes import FakeModel, serving, wait_until  # noqa: E402
from videollm.serve.engine import Engine  # noqa: E402
from videollm.serve.web import create_app  # noqa: E402


def test_fifty_clients_get_their_own_answers_and_nothing_breaks(tmp_path: Path) -> None:
    model = FakeModel(before_piece=lambda: time.sleep(0.001))
    engine = Engine("demo", lambda: model, max_waiting=8)  # type: ignore[arg-type, return-value]
    with serving(lambda: create_app(engine, None)) as address:
        wait_until(lambda: engine.status == "ok")
        found = run_load(
            address, make_bodies(tmp_path), clients=50, seconds=600, warm=600, rounds=2
        )
        assert found["wrong"] == []
        assert set(found["counts"]) <= {"right", "refused", "left"}
        assert found["counts"]["right"] + found["counts"]["left"] == 50 * 2
        assert found["counts"]["refused"] > 0
        assert found["counts"]["left"] > 0
        assert found["memory_ratio"] < 1.05
        assert len(found["free_seconds"]) == 5
    assert model.most_active == 1
    assert 1 < model.most_together <= 4
