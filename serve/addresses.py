"""Where the server may fetch from on behalf of a visitor: public addresses only.

A name is looked up once, every address that it has is judged, and the connection goes to one that
was judged, so that a second look-up cannot lead elsewhere. Each redirect comes here again.
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, urlsplit, urlunsplit

from videollm.errors import SourceAccessError
from videollm.video_connection import look_up

__all__ = ["AddressRule", "is_public"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""IPv6 networks that stand for IPv4 addresses, in the last 32 bits."""

SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24")))
"""Networks that some versions of Python call global, although protocols have them."""

REMEDY = "give a public address, or upload the file"


def is_public(text: str) -> bool:
    """Return whether an address belongs to the open internet, whatever it is wrapped in.

    Args:
        text: An IPv4 or IPv6 address, perhaps with a zone.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and "%" in text:
        return False
    return all(
        one.is_global
        and not (one.is_multicast or one.is_reserved or any(one in net for net in SPECIAL))
        for one in (address, *_wrapped(address))
        if not (isinstance(one, ipaddress.IPv6Address) and any(one in net for net in NAT64))
    )


def _wrapped(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in NAT64) or int(address) >> 32 == 0:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]


class AddressRule:
    """Connect to web servers that may be connected to.

    Args:
        allowed_hosts: Names whose addresses may be private: those of one's own cameras and stores.
        resolve: Looks names up, as `video_connection.look_up`.
    """

    def __init__(
        self,
        allowed_hosts: frozenset[str] = frozenset(),
        *,
        resolve: Callable[[str, int, float], list[str]] = look_up,
    ) -> None:
        self.allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        self._resolve = resolve

    def check(self, url: str) -> SplitResult:
        """Return the parts of an address that is well formed and of the web.

        Args:
            url: The address.

        Raises:
            SourceAccessError: It is not.
        """
        odd = any(char.isspace() or ord(char) < 32 or char in '\\\\<>"^`{|}' for char in url)
        try:
            parts = urlsplit(url)
            is_fine = parts.hostname is not None and parts.port != 0
        except ValueError:
            is_fine = False
        if odd or not is_fine:
            raise SourceAccessError(url, "is no well-formed web address", REMEDY)
        if parts.scheme not in ("http", "https"):
            finding = f"{parts.scheme}: addresses are not fetched"
            raise SourceAccessError(url, finding, "give an http(s) address")
        if parts.username is not None or parts.password is not None:
            raise SourceAccessError(url, "holds a name or password", "give it without")
        return parts

    def connect(self, parts: SplitResult, seconds: float) -> tuple[http.client.HTTPConnection, str]:
        """Return a connection that is not yet made, and what to ask of it.

        Proxies of the environment are not used: they would look the name up themselves.

        Args:
            parts: The address.
            seconds: How long the look-up and the connection may take.

        Raises:
            SourceAccessError: It may not be fetched.
            OSError: There is no such name; TimeoutError: no answer in time.
        """
        parts = self.check(urlunsplit(parts))
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        addresses = self._resolve(host, port, seconds)
        if host not in self.allowed_hosts and not all(map(is_public, addresses)):
            finding = f"{host} is not on the open internet, and may not be fetched from"
            raise SourceAccessError(urlunsplit(parts), finding, REMEDY)
        kind = _PinnedTLS if parts.scheme == "https" else _Pinned
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        return kind(host, port, seconds, addresses), target


class _Pinned(http.client.HTTPConnection):
    """Talk to a host at the first of its addresses, all of them judged, that answers."""

    def __init__(self, host: str, port: int, seconds: float, addresses: Sequence[str]) -> None:
        super().__init__(host, port, timeout=seconds / len(addresses))
        self._addresses = addresses

    def connect(self) -> None:
        for address in self._addresses:
            try:
                self.sock = socket.create_connection((address, self.port), self.timeout)
            except OSError:
                if address == self._addresses[-1]:
                    raise
            else:
                return


class _PinnedTLS(_Pinned):
    """The same, encrypted; the certificate is that of the host's name."""

    default_port = 443

    def connect(self) -> None:
        super().connect()
        context = ssl.create_default_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
