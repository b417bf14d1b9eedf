"""Who asks: the owner of an API key, or a network address where no key is needed."""

from dataclasses import dataclass

from fastapi import Request

from videollm.serve.api_errors import ApiError
from videollm.serve.service import Service

__all__ = ["Asker", "asker_of"]


@dataclass(frozen=True)
class Asker:
    """Hold who asks.

    Args:
        owner: Whose files and sessions count; the same for everybody where no key is needed.
        name: For a fair queue.
    """

    owner: str
    name: str


async def asker_of(request: Request) -> Asker:
    """Return who asks.

    Raises:
        ApiError: Its key is missing or wrong.
    """
    service: Service = request.app.state.service
    owner = service.keys.owner(request.headers.get("authorization"))
    if owner is None:
        raise ApiError(401, "the API key is missing or wrong: send Authorization: Bearer KEY")
    address = request.client.host if request.client is not None else ""
    return Asker(owner, f"api:{owner or address}")
