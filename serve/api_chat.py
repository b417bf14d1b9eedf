"""`/v1/chat/completions`."""

from collections.abc import Callable
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request, Response

from videollm.errors import VideoLLMError
from videollm.serve.access import Asker, asker_of
from videollm.serve.api_answers import answer_response
from videollm.serve.api_errors import ERROR_RESPONSES, ApiError, explain_refusal
from videollm.serve.api_events import Hearing
from videollm.serve.api_schema import ChatRequest
from videollm.serve.api_talk import check_supported, read_chat
from videollm.serve.jobs import Event, Job
from videollm.serve.service import Service

__all__ = ["chat_router"]

MAX_FETCHES = 16
"""Requests that fetch their videos at once; slow servers must not hold up everybody else."""


def chat_router(service: Service) -> APIRouter:
    """Return the routes.

    Args:
        service: Answers.
    """
    router = APIRouter(prefix="/v1", tags=["chat"], responses=ERROR_RESPONSES)
    fetching = CapacityLimiter(MAX_FETCHES)

    @router.post("/chat/completions", summary="Answer a chat about videos and pictures")
    async def complete(
        body: ChatRequest, request: Request, asker: Annotated[Asker, Depends(asker_of)]
    ) -> Response:
        check_supported(body)
        _check_model(service, body.model)
        try:
            # before anything is fetched for a question that will not be answered
            service.engine.check_room()
            chat, files = await to_thread.run_sync(
                read_chat,
                body,
                lambda address: service.sources.find(address, asker.owner),
                limiter=fetching,
            )

            def ask(hear: Callable[[Event], None]) -> Job:
                return service.engine.submit(chat, asker=asker.name, hear=hear)

            hold = service.store.hold(files)
            hold.__enter__()
            try:
                hearing = Hearing(request, ask)
            except BaseException:
                hold.__exit__(None, None, None)
                raise
        except VideoLLMError as error:
            raise explain_refusal(error) from None
        usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        return await answer_response(
            hearing, service.model_id, stream=bool(body.stream), usage=usage, hold=hold
        )

    return router


def _check_model(service: Service, name: str) -> None:
    if name not in ("", service.model_id, service.engine.model_name):
        raise ApiError(
            404,
            f"there is no model {name[:100]!r} here: use {service.model_id!r}",
            param="model",
            code="model_not_found",
        )
