"""`/v1/live`: watch a stream, ask about it at any moment, close it."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from videollm.errors import SourceAccessError, VideoLLMError
from videollm.serve.access import Asker, asker_of
from videollm.serve.api_answers import answer_response
from videollm.serve.api_errors import ERROR_RESPONSES, ApiError, explain_refusal
from videollm.serve.api_events import Hearing
from videollm.serve.api_schema import AskRequest, LiveRequest, PushRequest, StandRequest
from videollm.serve.api_talk import stop_words, wish_of
from videollm.serve.frames import explain
from videollm.serve.jobs import Event, Job
from videollm.serve.live_session import LiveSession
from videollm.serve.questions import LiveQuestion
from videollm.serve.service import Service

__all__ = ["live_router", "watch"]

Who = Annotated[Asker, Depends(asker_of)]


def live_router(service: Service) -> APIRouter:
    """Return the routes.

    Args:
        service: Has the sessions.
    """
    router = APIRouter(prefix="/v1/live", tags=["live"], responses=ERROR_RESPONSES)

    @router.post("", summary="Begin to watch a stream")
    async def create(body: LiveRequest, asker: Who) -> dict[str, Any]:
        if service.engine.status == "loading":
            raise ApiError(503, "the model is still loading", retry_after_seconds=5)
        session = await run_in_threadpool(
            service.live.create, service.engine.model, asker.owner, **body.model_dump()
        )
        return _shown(session)

    @router.get("", summary="List the streams")
    async def list_all(asker: Who) -> dict[str, Any]:
        return {"object": "list", "data": [_shown(one) for one in service.live.owned(asker.owner)]}

    @router.get("/{live_id}", summary="Say how a stream does")
    async def show(live_id: str, asker: Who) -> dict[str, Any]:
        return _shown(_find(service, live_id, asker))

    @router.post("/{live_id}/push", summary="Watch what an address shows")
    async def push(live_id: str, body: PushRequest, asker: Who) -> dict[str, Any]:
        session = _find(service, live_id, asker)
        try:
            await run_in_threadpool(watch, service, session, body.url, body.fps)
        except VideoLLMError as error:
            raise explain_refusal(error, "url") from None
        return _shown(session)

    @router.post("/{live_id}/standing", summary="Ask a question again and again")
    async def stand(live_id: str, body: StandRequest, asker: Who) -> dict[str, Any]:
        session = _find(service, live_id, asker)
        session.stand(body.question, body.every_seconds)
        return _shown(session)

    @router.post("/{live_id}/standing/end", summary="Ask a standing question no more")
    async def take_back(live_id: str, body: StandRequest, asker: Who) -> dict[str, Any]:
        session = _find(service, live_id, asker)
        session.take_back(body.question)
        return _shown(session)

    @router.delete("/{live_id}", summary="Close a stream")
    async def close(live_id: str, asker: Who) -> dict[str, Any]:
        session = _find(service, live_id, asker)
        await run_in_threadpool(service.live.drop, session)
        return {"id": live_id, "object": "live", "deleted": True}

    _add_questions(router, service)
    return router


def _add_questions(router: APIRouter, service: Service) -> None:
    @router.post("/{live_id}/ask", summary="Ask about what was seen until now")
    async def ask(live_id: str, body: AskRequest, request: Request, asker: Who) -> Response:
        session = _find(service, live_id, asker)
        question = LiveQuestion(session.stream, body.question, wish_of(body), stop_words(body))

        def put(hear: Callable[[Event], None]) -> Job:
            return service.engine.submit(question, asker=asker.name, hear=hear)

        try:
            hearing = Hearing(request, put)
        except VideoLLMError as error:
            raise explain_refusal(error, "question") from None
        return await answer_response(
            hearing, service.model_id, stream=bool(body.stream), usage=False, hold=nullcontext()
        )


def watch(service: Service, session: LiveSession, url: str, fps: float) -> None:
    """Let a session watch an address.

    Args:
        service: Finds the file of the address.
        session: Watches.
        url: As in a chat; or a camera's rtsp(s) address, where its host is an allowed one.
        fps: Frames a second, above 0.

    Raises:
        VideoError: It may not be watched, or cannot be had.
        RequestError: Another source is being watched.
    """
    if url.startswith(("rtsp://", "rtsps://")):
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            host = ""
        if host not in service.sources.rule.allowed_hosts:
            remedy = "its host must be named with --allowed-hosts when the server starts"
            raise SourceAccessError(url[:100], "is a camera that may not be watched", remedy)
        session.watch_camera(url, fps)
        return
    file = service.sources.find(url, session.owner)
    session.watch_file(file.path, fps, service.store.hold([file]))


def _find(service: Service, live_id: str, asker: Asker) -> LiveSession:
    session = service.live.find(live_id, asker.owner)
    if session is None:
        message = f"there is no stream {live_id[:60]!r}: idle ones are closed"
        raise ApiError(404, message, param="live_id")
    return session


def _shown(session: LiveSession) -> dict[str, Any]:
    error = session.error
    words = None
    if error is not None:
        words = explain(error) if isinstance(error, VideoLLMError) else type(error).__name__
    return {
        "id": session.key,
        "object": "live",
        "created_at": int(session.created),
        "watching": session.is_watching,
        "error": words,
        "standing": [
            {"question": question, "every_seconds": seconds}
            for question, seconds in session.standing.items()
        ],
        "changes": list(session.changes),
        "stats": asdict(session.measure()),
    }
