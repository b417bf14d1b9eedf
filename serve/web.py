"""The web app: the chat page at `/`, `/healthz` for machines, and a policy that keeps both local.

Takes an engine and samples that others made; starts the engine with the server and closes it
with the server.
"""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from videollm.serve.engine import Engine
from videollm.serve.samples import Sample
from videollm.serve.sessions import SessionStore
from videollm.serve.ui import SCRIPT, STYLE_SHEET, build_page, page_theme

__all__ = ["create_app"]

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'"
)
"""Browsers refuse whatever the page might fetch from elsewhere. Gradio compiles its templates in
the browser, hence the two unsafe words; text from outside is escaped before it gets there."""


class LocalOnly:
    """Add the content policy to every response.

    Args:
        app: What answers the requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its response back, with the header."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self.app(scope, receive, send_with_policy)


def create_app(
    engine: Engine, samples: Sequence[Sample], *, max_upload_bytes: int = 200 * 2**20
) -> FastAPI:
    """Return the app; its engine starts and ends with it.

    Args:
        engine: Answers the questions; not started yet.
        samples: Clips to offer; their files become readable for every visitor.
        max_upload_bytes: The largest file that may be uploaded.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Gradio would make a table of all calls so far after each call, for a page that is off here
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        yield
        engine.close()

    app = FastAPI(title="videollm", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(LocalOnly)

    @app.get("/healthz")
    def healthz() -> JSONResponse:
        status = engine.status
        code = 503 if status == "failed" else 200
        return JSONResponse({"status": status, "model": engine.model_name}, status_code=code)

    return gr.mount_gradio_app(
        app,
        build_page(SessionStore(engine), samples, max_upload_bytes=max_upload_bytes),
        path="/",
        theme=page_theme(),
        css_paths=[STYLE_SHEET],
        js=SCRIPT.read_text(encoding="utf-8"),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        max_file_size=max_upload_bytes,
        allowed_paths=sorted({str(sample.path.parent) for sample in samples}),
    )
