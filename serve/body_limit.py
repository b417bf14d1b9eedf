"""A limit on what a request may carry, held while it comes, whatever its headers say."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyLimit"]


class BodyLimit:
    """Refuse requests under a path that carry too much.

    Args:
        app: What answers the others.
        prefix: The path.
        max_bytes: The most that one may carry.
    """

    def __init__(self, app: ASGIApp, *, prefix: str, max_bytes: int) -> None:
        self.app = app
        self.prefix = prefix
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or not scope["path"].startswith(self.prefix):
            await self.app(scope, receive, send)
            return
        num_bytes = 0
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        is_too_large = declared.isdigit() and int(declared) > self.max_bytes

        async def receive_some() -> Message:
            nonlocal num_bytes
            message = {} if is_too_large else await receive()
            num_bytes += len(message.get("body", b""))
            if is_too_large or num_bytes > self.max_bytes:
                limit = f"{self.max_bytes / 2**20:.1f} MiB"
                raise HTTPException(413, f"the request is larger than the {limit} that are taken")
            return message

        await self.app(scope, receive_some, send)
