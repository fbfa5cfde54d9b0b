"""Lists: newest first, paged by keyset, so new objects never shift a page."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

from flask import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from payments.core.problems import ValidationFailed
from payments.web.http.models import MAX_TIME, Parameters
from payments.web.http.responses import json_response

_Item = TypeVar("_Item")
_Item_contra = TypeVar("_Item_contra", contravariant=True)
_Position_co = TypeVar("_Position_co", covariant=True)
_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")


def _check_digits(text: object) -> object:
    """Reject what only Python parses as an integer, such as ``5_0``, ``+5`` or digits of other scripts."""
    if isinstance(text, str) and _INTEGER.fullmatch(text) is None:
        raise ValueError("Must be an integer in decimal digits, without sign, fraction or leading zeros.")
    return text


#: An xid8 as a part of a cursor. PostgreSQL reads digits after a leading zero as octal, and fails at 8 and 9.
XID = "[1-9][0-9]{0,18}"
#: An integer as a query parameter.
QueryInteger = Annotated[int, BeforeValidator(_check_digits)]
#: A time as a query parameter.
QueryTime = Annotated[int, Field(ge=0, le=MAX_TIME), BeforeValidator(_check_digits)]


class PageQuery(Parameters):
    """Which page of a list. Each list declares its ``cursor`` as its :meth:`Cursor.field`."""

    limit: QueryInteger = Field(
        default=10, ge=1, le=100, description="Maximum number of objects in the page.", json_schema_extra={"example": 3}
    )
    cursor: str | None = None


class Page(BaseModel, Generic[_Item]):
    """A page of a list, newest first."""

    # Subclasses with a type of items do not inherit the docstring.
    model_config = ConfigDict(json_schema_extra={"description": "A page of a list, newest first."})

    object: Literal["list"]
    data: list[_Item]
    has_more: bool
    next_cursor: str | None = Field(description="Pass it as `cursor` to get the next page.", examples=[None])

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Name the schema after its items, such as ``PaymentList``; pydantic passes the item type untyped."""
        return f"{params[0].__name__}List"


@dataclass(frozen=True, kw_only=True)
class Cursor(Generic[_Item_contra, _Position_co]):
    """How one list encodes a position: its parts, joined by hyphens. Clients return cursors as they are."""

    #: A regular expression for each part of a position, anchored or not.
    patterns: Sequence[str]
    #: Returns the parts of an item's position.
    parts: Callable[[_Item_contra], Sequence[str]]
    #: Builds the position that the repository takes from its parts.
    position: Callable[..., _Position_co]

    @property
    def pattern(self) -> str:
        """The regular expression of this list's cursors, a group for each part."""
        return "^" + "-".join(f"({part.strip('^$')})" for part in self.patterns) + "$"

    def field(self) -> Any:
        """Return the declaration of the query's field ``cursor``, as pydantic's ``Field`` does: of any type."""
        return Field(
            default=None,
            description="`next_cursor` of the previous page.",
            json_schema_extra={"pattern": self.pattern},
        )

    def read(self, query: PageQuery) -> _Position_co | None:
        """Return the position before which the page starts, None for the first page.

        Raises:
            ValidationFailed: The cursor is not from this list.
        """
        if query.cursor is None:
            return None
        match = re.fullmatch(self.pattern, query.cursor)
        if match is None:
            raise ValidationFailed.at("cursor", "Not a cursor of this list. Use next_cursor of the previous page.")
        return self.position(*match.groups())


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


def id_cursor(pattern: str) -> Cursor[_HasId, str]:
    """Return the cursor of a list that is ordered by identifiers of the form ``pattern``."""
    return Cursor(patterns=(pattern,), parts=lambda item: (item.id,), position=str)


def page_response(
    query: PageQuery,
    cursor: Cursor[_Item, object],
    items: Sequence[_Item],
    present: Callable[[_Item], Mapping[str, object]],
) -> Response:
    """Return a page of ``items``, of which the endpoint fetched one more than the limit to see whether more follow."""
    shown, has_more = items[: query.limit], len(items) > query.limit
    return json_response(
        {
            "object": "list",
            "data": [present(item) for item in shown],
            "has_more": has_more,
            "next_cursor": "-".join(cursor.parts(shown[-1])) if has_more else None,
        }
    )
