"""What a program asks before it asks a question: models, health, numbers, documentation."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from videollm.serve.access import Asker, asker_of
from videollm.serve.api_docs import docs_page
from videollm.serve.api_errors import ERROR_RESPONSES, ApiError
from videollm.serve.metrics import CONTENT_TYPE, write_metrics
from videollm.serve.service import Service

__all__ = ["fallback_router", "info_router"]

Who = Annotated[Asker, Depends(asker_of)]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def info_router(service: Service) -> APIRouter:
    """Return the routes.

    Args:
        service: Is described.
    """
    router = APIRouter(tags=["info"])

    @router.get("/v1/models", summary="List the models", responses=ERROR_RESPONSES)
    async def models(asker: Who) -> dict[str, Any]:
        return {"object": "list", "data": [_model(service)]}

    @router.get("/v1/models/{model}", summary="Describe a model", responses=ERROR_RESPONSES)
    async def model(model: str, asker: Who) -> dict[str, Any]:
        if model != service.model_id:
            message = f"there is no model {model[:100]!r} here: use {service.model_id!r}"
            raise ApiError(404, message, param="model", code="model_not_found")
        return _model(service)

    @router.get(
        "/healthz",
        summary="Say whether the model is there",
        responses={503: {"description": "The model could not be loaded"}},
    )
    async def healthz() -> JSONResponse:
        status = service.engine.status
        code = 503 if status == "failed" else 200
        shown = {"status": status, "model": service.engine.model_name}
        return JSONResponse(shown, status_code=code)

    @router.get(
        "/metrics",
        summary="Numbers for Prometheus",
        response_class=PlainTextResponse,
        responses={401: ERROR_RESPONSES[401]},
    )
    async def metrics(asker: Who) -> PlainTextResponse:
        return PlainTextResponse(write_metrics(service), media_type=CONTENT_TYPE)

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        schema = request.app.openapi()
        address = str(request.base_url)
        return HTMLResponse(docs_page(schema, address=address, model=service.model_id))

    return router


def fallback_router() -> APIRouter:
    """Return the routes for what does not exist; included after all others."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/v1/{path:path}", methods=METHODS)
    async def nothing(path: str, request: Request) -> None:
        known = [
            route
            for route in request.app.routes
            if route.matches(request.scope)[0].name == "PARTIAL"
        ]
        if known:
            raise ApiError(405, f"{request.method} is not possible on /v1/{path[:100]}: see /docs")
        raise ApiError(404, f"there is no /v1/{path[:100]}: see /docs")

    return router


def _model(service: Service) -> dict[str, Any]:
    return {
        "id": service.model_id,
        "object": "model",
        "created": service.started,
        "owned_by": "videollm",
        "status": service.engine.status,
    }
