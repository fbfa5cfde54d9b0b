"""Lists: newest first, cut by keyset, so that what is made meanwhile never shifts a page."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from payments.core.problems import ValidationFailed
from payments.web.openapi.api import QueryModel

_T = TypeVar("_T")
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


def _digits(text: object) -> object:
    """Refuse what only Python reads as a number, such as ``5_0``, ``+5`` or digits of other scripts."""
    if isinstance(text, str) and _WHOLE_NUMBER.fullmatch(text) is None:
        raise ValueError("Send a whole number in decimal digits, without sign, fraction or leading zeros.")
    return text


#: A whole number as a query parameter.
QueryNumber = Annotated[int, BeforeValidator(_digits)]


class PageQuery(QueryModel):
    """Which page of a list."""

    limit: QueryNumber = Field(default=10, ge=1, le=100, description="Most objects in the page.")
    cursor: str | None = Field(default=None, max_length=200, description="`next_cursor` of the page before.")


def encode(*parts: str) -> str:
    """A place in a list, as clients hand it back without looking into it."""
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode().rstrip("=")


def decode(cursor: str | None, *patterns: str) -> list[str] | None:
    """What :func:`encode` was given, each part of the form that this list gives it; ``None`` without a cursor.

    Raises:
        ValidationFailed: it is no cursor of this list.
    """
    if cursor is None:
        return None
    try:
        parts = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode().split("\n")
    except (binascii.Error, ValueError):
        parts = []
    if len(parts) != len(patterns) or not all(map(re.fullmatch, patterns, parts)):
        detail = "The cursor is not one of this list. Use next_cursor of the page before."
        raise ValidationFailed(detail, errors=[{"pointer": "cursor", "detail": detail}])
    return parts


def page(found: Sequence[_T], limit: int) -> tuple[Sequence[_T], bool]:
    """The page out of up to ``limit`` + 1 rows, and whether more follow."""
    return found[:limit], len(found) > limit


def listing(data: Sequence[Any], *, has_more: bool, next_cursor: str | None) -> dict[str, Any]:
    """A page as it is answered."""
    return {"object": "list", "data": list(data), "has_more": has_more, "next_cursor": next_cursor}
