"""The OpenAPI document: every call that it allows is answered, and none breaks the server."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the extra 'serve' is not installed")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

import httpx  # noqa: E402
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402

from tests.serve.fakes import FakeModel, serving, wait_until  # noqa: E402
from tests.tiny import tiny_videollm  # noqa: E402
from videollm import VideoLLM  # noqa: E402
from videollm.serve.engine import Engine  # noqa: E402
from videollm.serve.web import create_app  # noqa: E402

EXAMPLES = settings(
    max_examples=int(os.environ.get("VIDEOLLM_EXAMPLES", "3")),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def address(tiny_llm: Path) -> Iterator[str]:
    model = FakeModel()
    # streams are the library's own; answers are short whatever is asked for
    model.stream = VideoLLM(*tiny_videollm(tiny_llm), name="tiny").stream  # type: ignore[attr-defined]
    engine = Engine("demo", lambda: model, max_waiting=50)  # type: ignore[arg-type, return-value]
    with serving(lambda: create_app(engine, None, max_upload_bytes=2**20)) as address:
        wait_until(lambda: engine.status == "ok")
        yield address


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_no_call_breaks_the_server(address: str, mode: "schemathesis.GenerationMode") -> None:
    description = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [found.ok() for found in description.get_all_operations()]
    assert len(operations) >= 18
    if mode.is_negative:
        # the others have a name in their path at most: they cannot be called wrongly
        operations = [operation for operation in operations if operation.method == "post"]
    seen: Counter[str] = Counter()
    for operation in operations:

        @given(case=operation.as_strategy(generation_mode=mode))
        @EXAMPLES
        def call(case: "schemathesis.Case") -> None:
            seen[case.operation.label] += 1
            response = case.call(base_url=address)
            assert response.status_code < 500, response.text
            if response.status_code >= 400 and case.path.startswith("/v1"):
                assert response.json()["error"]["message"]

        call()
    assert len(seen) == len(operations)


def test_the_documentation_needs_no_other_server(address: str) -> None:
    page = httpx.get(f"{address}/docs")
    assert page.status_code == 200
    assert "/v1/chat/completions" in page.text
    assert "src=" not in page.text
    assert "<script" not in page.text
