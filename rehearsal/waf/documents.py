"""Strict parsing of WAF's JSON: unknown members are named, never skipped."""

from collections.abc import Mapping
from typing import Any

from rehearsal.host.errors import RehearsalError

#: A part of a web ACL in WAFv2's JSON.
Document = Mapping[str, Any]


class UnsupportedError(RehearsalError):
    """A web ACL uses something that is not implemented; the message names it."""


def refuse_others(document: Document, *known: str) -> None:
    """Refuse members that are not known.

    Raises:
        UnsupportedError: Naming the first other member.

    """
    for name in document:
        if name not in known:
            raise UnsupportedError(f"the setting {name}")


def only_member(document: Document, what: str) -> tuple[str, Document]:
    """Return the only member of a document, as statements, actions and fields to match have one.

    Raises:
        UnsupportedError: There is none, or more than one.

    """
    if len(document) != 1:
        raise UnsupportedError(f"{what} with {', '.join(document) or 'no member'}")
    ((name, inner),) = document.items()
    return name, inner
