"""The addresses that a merchant's URL may lead to: public ones, on port 443, never our own network (SSRF).

The host name is resolved here, every address is checked, and the connection is made to a checked address: a name that
resolves differently the second time (DNS rebinding) gains nothing.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from urllib.parse import SplitResult, urlsplit

Resolve = Callable[[str, int], Sequence[str]]
_HTTPS_PORT = 443
_HTTP_PORT = 80
MAX_URL_LENGTH = 2048
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
#: Characters of RFC 3986 that may follow the authority, except "#".
URL_CHARACTERS = r"A-Za-z0-9!$%&'()*+,./:;=?@\[\]_~-"
#: What a merchant may set: an https URL on port 443 of a host name with a dot, without a fragment. The OpenAPI document
#: shows it, so it is in the common subset of Python and ECMA-262.
WEBHOOK_URL = rf"^https://(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?::443)?(?:[/?][{URL_CHARACTERS}]*)?$"
#: Addresses of one name that are tried.
_MAX_ADDRESSES = 32
#: Not public: the IANA IPv4 special-purpose registry, and multicast.
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: instance and task metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
#: IPv6 global unicast. Translated, mapped, local and multicast addresses are outside.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


class AddressRefused(Exception):  # noqa: N818 - a refusal, not a fault
    """A URL that must not be called; the message says why, without revealing what its name resolves to."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to connect to, for which URL."""

    url: SplitResult
    host: str
    port: int
    #: The checked addresses, to connect to without resolving the host again, in the order in which to try them.
    addresses: tuple[str, ...]

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted: always, except to a receiver on this machine."""
        return self.url.scheme == "https"

    @property
    def path(self) -> str:
        """The path and query of the URL."""
        return (self.url.path or "/") + (f"?{self.url.query}" if self.url.query else "")


def system_resolve(host: str, port: int) -> list[str]:
    """Resolve ``host`` with the resolver of the system.

    Raises:
        AddressRefused: It cannot be resolved.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressRefused("The host name cannot be resolved.") from error
    return [str(entry[4][0]) for entry in found]


def is_public(text: str) -> bool:
    """Return whether ``text`` is an address of the public internet."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def check_url(url: str, *, allow_local: bool = False) -> SplitResult:
    """Parse ``url`` and check its form. ``allow_local`` admits ``http://127.0.0.1:PORT`` too, for development.

    Raises:
        AddressRefused: The form is not allowed.
    """
    if (
        len(url) > MAX_URL_LENGTH
        or not url.isascii()
        or not url.isprintable()
        or any(character in " \\" for character in url)
    ):
        raise AddressRefused(f"The URL must be ASCII without spaces, and at most {MAX_URL_LENGTH} characters long.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused("The URL is malformed.") from error
    if not parts.hostname or parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("The URL must have a host, and no user name, password or fragment.")
    if allow_local and parts.scheme in {"http", "https"} and is_loopback(parts.hostname):
        return parts
    if parts.scheme != "https" or port not in {None, _HTTPS_PORT}:
        raise AddressRefused("The URL must use https on port 443.")
    _check_host(parts.hostname)
    return parts


def check_new_url(url: str, *, allow_local: bool = False) -> None:
    """Check the form of a URL that a merchant sets: what `check_url` wants, and `WEBHOOK_URL`.

    `check_url` admits more, such as the address of a public host: endpoints set in the past keep their deliveries.

    Raises:
        AddressRefused: The form is not allowed.
    """
    parts = check_url(url, allow_local=allow_local)
    local = allow_local and is_loopback(parts.hostname or "")
    if not local and re.fullmatch(WEBHOOK_URL, url) is None:
        raise AddressRefused(
            "The URL must be https:// and a host name of letters, digits, hyphens and dots, not an address; "
            "characters that are not in RFC 3986 must be percent-encoded."
        )


def _check_host(host: str) -> None:
    """Require a public address, or a name with a dot: one without would be resolved in our own domain."""
    if ":" in host or host.replace(".", "").isdigit():
        if not is_public(host):
            raise AddressRefused("The URL leads to an address that is not public.")
    elif "." not in host.strip("."):
        raise AddressRefused("The URL must have a public host name.")


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine, by name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def resolve_target(url: str, *, allow_local: bool = False, resolve: Resolve = system_resolve) -> Target:
    """Resolve ``url`` and check where it leads.

    Raises:
        AddressRefused: Its form is not allowed, it does not resolve, or one of its addresses is not public.
    """
    parts = check_url(url, allow_local=allow_local)
    host = parts.hostname or ""
    local = allow_local and is_loopback(host)
    port = parts.port or (_HTTPS_PORT if parts.scheme == "https" else _HTTP_PORT)
    addresses = resolve(host, port)
    # An internal address among public ones is an attack or a mistake.
    if not addresses or not all(is_loopback(address) if local else is_public(address) for address in addresses):
        raise AddressRefused("The URL leads to an address that is not public.")
    return Target(url=parts, host=host, port=port, addresses=_in_order(addresses))


def _in_order(addresses: Sequence[str]) -> tuple[str, ...]:
    """Alternate between the families, beginning with the first (RFC 8305, 4): one may be broken as a whole."""
    first = ":" in addresses[0]
    families = [[each for each in dict.fromkeys(addresses) if (":" in each) is family] for family in (first, not first)]
    alternating = (each for pair in zip_longest(*families) for each in pair if each is not None)
    return tuple(islice(alternating, _MAX_ADDRESSES))
