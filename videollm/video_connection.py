"""Connections to web servers: names that are looked up in time, and proxies."""

import http.client
import socket
import threading
from urllib.parse import SplitResult, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

__all__ = ["connection_to"]


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
    seconds /= _num_addresses(host, port, seconds) if proxy is None else 1
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


def _num_addresses(host: str, port: int, seconds: float) -> int:
    """Return how many addresses a name has; asking can hang, so another thread does.

    Raises:
        OSError: There is no such name.
        TimeoutError: No answer in time.
    """
    found: list[object] = []

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=look_up, name="videollm-name-lookup", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError
    if isinstance(found[0], OSError):
        raise found[0]
    return len(found)
