"""Reading WAF's JSON strictly: what is not known is named, never skipped."""

from collections.abc import Mapping
from typing import Any

from rehearsal.compute.errors import ComputeError


class UnknownToFirewallError(ComputeError):
    """A web ACL has something that this firewall cannot do; the message names it."""


def only(document: Mapping[str, Any], *known: str) -> None:
    """Check that a document has no members but these.

    Raises:
        UnknownToFirewallError: naming the first other one.
    """
    for name in document:
        if name not in known:
            raise UnknownToFirewallError(f"the setting {name}")


def single(document: Mapping[str, Any], what: str) -> tuple[str, Mapping[str, Any]]:
    """The one member of a document that must have exactly one, as statements, actions and fields have.

    Raises:
        UnknownToFirewallError: it has none or several.
    """
    if len(document) != 1:
        raise UnknownToFirewallError(f"{what} with {', '.join(document) or 'nothing in it'}")
    ((name, inner),) = document.items()
    return name, inner
