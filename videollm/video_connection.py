"""Connections to web servers: names that are looked up in time, and proxies."""

import http.client
import socket
import threading
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

__all__ = ["Connect", "connection_to", "look_up"]

Connect: TypeAlias = Callable[[SplitResult, float], tuple[http.client.HTTPConnection, str]]
"""Makes connections as `connection_to` does, perhaps to fewer addresses."""


def connection_to(parts: SplitResult, seconds: float) -> tuple[http.client.HTTPConnection, str]:
    """Return a connection that is not yet made, and what to ask of it for an address.

    It goes by way of a proxy where the environment sets one, as `http_proxy` and its like.

    Args:
        parts: The http(s) address.
        seconds: How long looking up the name, and making the connection, may take.

    Raises:
        OSError: There is no such name; TimeoutError: no answer in time.
    """
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = None if proxy_bypass(f"{host}:{port}") else getproxies().get(parts.scheme)
    seconds /= len(look_up(host, port, seconds)) if proxy is None else 1
    target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    kind: type[http.client.HTTPConnection] = http.client.HTTPConnection
    if parts.scheme == "https":
        kind = http.client.HTTPSConnection
    if proxy is None:
        return kind(host, port, timeout=seconds), target
    via = urlsplit(proxy if "://" in proxy else f"//{proxy}")
    connection = kind(via.hostname or "", via.port, timeout=seconds)
    if parts.scheme == "https":
        connection.set_tunnel(host, port)
        return connection, target
    bare = urlunsplit((parts.scheme, f"{host}:{port}", parts.path or "/", parts.query, ""))
    return connection, bare


def look_up(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a name, at least one; asking can hang, so another thread does.

    Args:
        host: The name, or an address in any notation that the system knows.
        port: Where to connect to.
        seconds: The longest wait.

    Raises:
        OSError: There is no such name.
        TimeoutError: No answer in time.
    """
    found: list[str] = []
    errors: list[OSError] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(str(address[0]) for *_, address in answers)
        except (OSError, UnicodeError) as error:
            errors.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=ask, name="videollm-name-lookup", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not found:
        raise TimeoutError
    return list(found)
