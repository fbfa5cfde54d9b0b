"""Lists: newest first, cut by keyset, so that what is made meanwhile never shifts a page."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import Field

from payments.problems import ValidationFailed
from payments.web.openapi import QueryModel

_T = TypeVar("_T")


class PageQuery(QueryModel):
    """Which page of a list."""

    limit: int = Field(default=10, ge=1, le=100, description="Most objects in the page.")
    cursor: str | None = Field(default=None, max_length=200, description="`next_cursor` of the page before.")


def encode(*parts: str) -> str:
    """A place in a list, as clients hand it back without looking into it."""
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode().rstrip("=")


def decode(cursor: str | None, *, parts: int) -> list[str] | None:
    """What :func:`encode` was given; ``None`` without a cursor.

    Raises:
        ValidationFailed: it is no cursor of this list.
    """
    if cursor is None:
        return None
    try:
        found = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode().split("\n")
    except (binascii.Error, ValueError):
        found = []
    if len(found) != parts or not all(part.isascii() and part.isprintable() for part in found):
        raise refused()
    return found


def refused() -> ValidationFailed:
    """The problem of a cursor that is none."""
    detail = "The cursor is not one of this list. Use next_cursor of the page before."
    return ValidationFailed(detail, errors=[{"pointer": "cursor", "detail": detail}])


def page(found: Sequence[_T], limit: int) -> tuple[Sequence[_T], bool]:
    """The page out of up to ``limit`` + 1 rows, and whether more follow."""
    return found[:limit], len(found) > limit


def listing(data: Sequence[Any], *, has_more: bool, next_cursor: str | None) -> dict[str, Any]:
    """A page as it is answered."""
    return {"object": "list", "data": list(data), "has_more": has_more, "next_cursor": next_cursor}
