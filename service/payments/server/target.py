"""The request target and the Host header (RFC 9112, section 3): read like a firewall reads them, or refused.

A path is refused if two readers could split it differently: an encoded slash, a backslash, an empty or a dot segment,
an octet that is no UTF-8, a control character. What remains is decoded once.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_ORIGIN = re.compile(rb"(/[^?#]*)(?:\?([^#]*))?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(/[^?#]*)?(?:\?([^#]*))?")
#: A host name or IPv4 address, or an IPv6 address, and a port. Without the rare characters that RFC 3986 also allows,
#: as no name in use has them; user information is refused as RFC 9110, section 4.2.4 advises.
_HOST = re.compile(rb"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_HIGHEST_PORT = 65_535
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What is requested."""

    #: Decoded, one character for each byte; ``*`` for the server as a whole.
    path: str
    query: str
    #: The host that an absolute URL names: it replaces the Host header. None for the usual form.
    host: str | None = None


class InvalidTargetError(ValueError):
    """The target cannot be used; the message says why, without repeating it."""


def parse_target(method: str, raw: bytes) -> Target:
    """Return the parts of a request target.

    Raises:
        InvalidTargetError: It has no form that ``method`` takes, or its path is ambiguous.
    """
    if raw == b"*" and method == "OPTIONS":
        return Target(path="*", query="")
    if found := _ORIGIN.fullmatch(raw):
        return Target(path=_decode(found[1]), query=_text(found[2]))
    found = _ABSOLUTE.fullmatch(raw)
    if found is None or not is_host(found[1]):
        raise InvalidTargetError("The request target is neither a path nor a valid absolute URL.")
    return Target(path=_decode(found[2] or b"/"), query=_text(found[3]), host=_text(found[1]))


def is_host(value: bytes) -> bool:
    """Return whether ``value`` is a host with an optional port."""
    found = _HOST.fullmatch(value)
    return found is not None and int(found[1] or 0) <= _HIGHEST_PORT


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("latin-1")


def _decode(path: bytes) -> str:
    if _BROKEN_ESCAPE.search(path):
        raise InvalidTargetError("The path has a percent sign that encodes nothing.")
    decoded = unquote_to_bytes(path)
    if decoded.count(b"/") != path.count(b"/") or b"\\" in decoded:
        raise InvalidTargetError("The path has an encoded slash or a backslash.")
    if _CONTROL.search(decoded):
        raise InvalidTargetError("The path has a control character.")
    *inner, last = (segment.partition(b";")[0] for segment in decoded[1:].split(b"/"))
    if b"" in inner or {b".", b".."} & {*inner, last}:
        raise InvalidTargetError("The path has an empty segment or a dot segment. Send it in its normal form.")
    try:
        decoded.decode()
    except UnicodeDecodeError:
        raise InvalidTargetError("The path is not UTF-8. Percent-encode it as UTF-8.") from None
    return decoded.decode("latin-1")
