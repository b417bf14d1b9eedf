"""Errors as OpenAI's clients expect them: a status, and one sentence with its kind and field."""

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from videollm.errors import SourceTimeoutError, SourceUnreachableError, VideoError, VideoLLMError
from videollm.serve.jobs import Failed, FailKind
from videollm.serve.media_store import TooLargeError
from videollm.serve.waiting import BusyError, StoppingError

__all__ = [
    "ApiError",
    "ERROR_RESPONSES",
    "explain_failure",
    "explain_invalid",
    "explain_refusal",
    "show_broken",
    "show_error",
    "show_http_error",
]

STATUS_OF_FAILURE: dict[FailKind, tuple[int, str]] = {
    "request": (400, "invalid_request_error"),
    "video": (400, "invalid_request_error"),
    "time": (504, "timeout_error"),
    "model": (503, "server_error"),
    "server": (500, "server_error"),
}

CODES = {
    401: "invalid_api_key",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    429: "rate_limit_exceeded",
    503: "unavailable",
}


class ApiError(Exception):
    """Say what went wrong with a call.

    Args:
        status: The HTTP status.
        message: One sentence for whoever called.
        param: The field to blame.
        kind: As OpenAI names it; by default that of the status.
        code: A name for programs.
        retry_after_seconds: When to call again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        kind: str | None = None,
        code: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        usual = "invalid_request_error" if status < 500 else "server_error"
        self.body: dict[str, Any] = {
            "error": {
                "message": message,
                "type": kind or ("rate_limit_error" if status == 429 else usual),
                "param": param,
                "code": code or CODES.get(status),
            }
        }
        self.headers: dict[str, str] = {}
        if retry_after_seconds is not None:
            self.headers["Retry-After"] = str(retry_after_seconds)
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"


def explain_refusal(error: VideoLLMError, param: str | None = None) -> ApiError:
    """Return the API's form of an error of the library.

    Args:
        error: The error.
        param: The field to blame.
    """
    message = " ".join(str(error).split())
    if isinstance(error, BusyError):
        return ApiError(429, message, retry_after_seconds=error.retry_after_seconds)
    if isinstance(error, StoppingError):
        return ApiError(503, message, retry_after_seconds=10)
    if isinstance(error, TooLargeError):
        return ApiError(413, message, param=param)
    if isinstance(error, SourceTimeoutError | SourceUnreachableError):
        return ApiError(400, message, param=param, code="unreachable")
    if isinstance(error, VideoError):
        return ApiError(400, message, param=param, code="unreadable_media")
    return ApiError(400, message, param=param)


def explain_failure(failed: Failed) -> ApiError:
    """Return the API's form of an answer's failure.

    Args:
        failed: How it ended.
    """
    status, kind = STATUS_OF_FAILURE[failed.kind]
    code = "unreadable_media" if failed.kind == "video" else None
    return ApiError(status, failed.message, kind=kind, code=code)


def explain_invalid(found: Sequence[Any]) -> ApiError:
    """Return the API's form of what is wrong with a request's fields.

    Args:
        found: What the validation found; the deepest is told, for a value of several possible
            kinds is complained about for each of them.
    """
    first = max(found, key=lambda one: len(one["loc"]))
    hidden = ("body", "query", "path", "str")
    place = [str(part) for part in first["loc"] if part not in hidden and "[" not in str(part)]
    if first["type"] == "json_invalid":
        message = f"the body is no valid JSON: {first.get('ctx', {}).get('error', first['msg'])}"
        return ApiError(400, message)
    param = ".".join(place) or None
    if param is None:
        return ApiError(400, "send a JSON object, with Content-Type: application/json")
    return ApiError(400, f"{param}: {first['msg']}", param=param)


async def show_error(request: Request, error: Exception) -> JSONResponse:
    """Answer a call with its error."""
    if isinstance(error, RequestValidationError):
        error = explain_invalid(error.errors())
    elif isinstance(error, VideoLLMError):
        error = explain_refusal(error)
    assert isinstance(error, ApiError), "only these are handled here"
    return JSONResponse(error.body, status_code=error.status, headers=error.headers)


async def show_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer with an error of the framework."""
    assert isinstance(error, HTTPException), "only these are handled here"
    shown = ApiError(error.status_code, str(error.detail))
    headers = {**shown.headers, **(error.headers or {})}
    return JSONResponse(shown.body, status_code=error.status_code, headers=headers)


async def show_broken(request: Request, error: Exception) -> JSONResponse:
    """Answer where a defect of ours broke the call; the framework logs it."""
    shown = ApiError(500, "Something broke inside the server: its log has the details.")
    return JSONResponse(shown.body, status_code=500)


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": words,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["message", "type"],
                            "properties": {
                                "message": {"type": "string"},
                                "type": {"type": "string"},
                                "param": {"type": ["string", "null"]},
                                "code": {"type": ["string", "null"]},
                            },
                        }
                    },
                }
            }
        },
    }
    for status, words in (
        (400, "The request makes no sense; `param` names the field"),
        (401, "The API key is missing or wrong"),
        (404, "There is no such thing"),
        (413, "Too large"),
        (429, "Too many are waiting; see Retry-After"),
        (503, "The model is still loading or the server is stopping"),
    )
}
