"""The web app: the chat page at `/`, the API under `/v1`, and a policy that keeps both local.

Takes an engine and samples that others made; starts the engine with the server and closes it
with the server.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import gradio as gr
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from videollm.errors import VideoLLMError
from videollm.serve.addresses import AddressRule
from videollm.serve.api_chat import chat_router
from videollm.serve.api_errors import ApiError, show_broken, show_error, show_http_error
from videollm.serve.api_files import files_router
from videollm.serve.api_info import fallback_router, info_router
from videollm.serve.api_live import live_router
from videollm.serve.body_limit import BodyLimit
from videollm.serve.engine import Engine
from videollm.serve.live_sessions import LiveSessions
from videollm.serve.media_sources import MediaSources
from videollm.serve.media_store import MediaStore
from videollm.serve.samples import Sample, surprise_folder
from videollm.serve.service import Keys, Service
from videollm.serve.sessions import SessionStore
from videollm.serve.ui import SCRIPT, STYLE_SHEET, build_page, page_theme

__all__ = ["build_service", "create_app"]

MAX_UPLOAD_BYTES = 200 * 2**20
SWEEP_SECONDS = 30.0

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'"
)
"""Browsers refuse whatever the page might fetch from elsewhere. Gradio compiles its templates in
the browser, hence the two unsafe words and blob, which is what the page itself has made; text from
outside is escaped before it gets there."""


class LocalOnly:
    """Add the content policy to every response, and answer to one's own names alone.

    A page elsewhere can point its own name at this machine; its requests then call us by it.

    Args:
        app: What answers the requests.
        names: What a request may call this server; None is anything.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str] | None = None) -> None:
        self.app = app
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its response back, with the header."""
        if scope["type"] == "http" and self.names is not None:
            host = _host(Headers(scope=scope).get("host", ""))
            if host not in self.names:
                words = f"this server is not called {host}: see --public-names\n"
                await PlainTextResponse(words, status_code=421)(scope, receive, send)
                return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self.app(scope, receive, send_with_policy)


def _host(header: str) -> str:
    """Return the name in a Host header, without the port."""
    name, _, port = header.rpartition(":")
    return (name if port.isdigit() and name else header).strip("[]").lower()


def build_service(
    engine: Engine, *, max_upload_bytes: int = MAX_UPLOAD_BYTES, keys: Sequence[str] = ()
) -> Service:
    """Return what the API needs, with its usual rules.

    Args:
        engine: Answers.
        max_upload_bytes: The largest file that is taken.
        keys: The API's keys; none lets everybody in.
    """
    store = MediaStore(max_file_bytes=max_upload_bytes)
    sources = MediaSources(store=store, rule=AddressRule())
    return Service(
        engine=engine, store=store, sources=sources, live=LiveSessions(), keys=Keys(keys)
    )


def create_app(
    engine: Engine,
    samples: Sequence[Sample] | None,
    *,
    max_upload_bytes: int = MAX_UPLOAD_BYTES,
    service: Service | None = None,
    names: frozenset[str] | None = None,
) -> FastAPI:
    """Return the app; its engine starts and ends with it.

    Args:
        engine: Answers the questions; not started yet.
        samples: Clips to offer; their files become readable for every visitor. None is no page.
        max_upload_bytes: The largest file that may be uploaded.
        service: What the API needs; by default with its usual rules.
        names: What a request may call this server; None is anything.
    """
    parts = service or build_service(engine, max_upload_bytes=max_upload_bytes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        sweeper = asyncio.create_task(_sweep(parts))
        yield
        sweeper.cancel()
        await run_in_threadpool(_close, parts)

    app = FastAPI(title="videollm", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = parts
    app.add_middleware(BodyLimit, prefix="/v1", max_bytes=max_upload_bytes * 4 // 3 + 2**20)
    app.add_middleware(LocalOnly, names=names)
    for error in (ApiError, RequestValidationError, VideoLLMError):
        app.add_exception_handler(error, show_error)
    app.add_exception_handler(HTTPException, show_http_error)
    app.add_exception_handler(Exception, show_broken)
    for router in (chat_router(parts), files_router(parts), live_router(parts), info_router(parts)):
        app.include_router(router)
    app.include_router(fallback_router())
    return app if samples is None else _with_page(app, samples, parts)


async def _sweep(service: Service) -> None:
    """Close idle live sessions, even where nobody comes by."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await run_in_threadpool(service.live.expire)


def _close(service: Service) -> None:
    service.live.close()
    service.engine.close()
    service.store.close()


def _with_page(app: FastAPI, samples: Sequence[Sample], service: Service) -> FastAPI:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Gradio would make a table of all calls so far after each call, for a page that is off here
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
    return gr.mount_gradio_app(
        app,
        build_page(SessionStore(service.engine), samples, service),
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
        max_file_size=service.store.max_file_bytes,
        allowed_paths=sorted(
            {str(surprise_folder(samples)), *(str(sample.path.parent) for sample in samples)}
        ),
    )
