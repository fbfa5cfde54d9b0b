"""Base classes of what endpoints take: bodies, and path or query parameters."""

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from payments.web.http.patterns import TEXT

#: The largest time in requests, in Unix seconds: the year 5138, far below what a datetime holds.
MAX_TIME = 10**11
#: Text in a request.
Text = Annotated[str, Field(pattern=TEXT)]


class RequestBody(BaseModel):
    """Base of request bodies: exact types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Parameters(BaseModel):
    """Base of path and query parameters: text is parsed as the declared type, no unknown names.

    The name of a subclass decides about errors: ``...Path`` contains identifiers and gives 404, ``...Query`` 422.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    @cache
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # cached
        """Return the schema, generated once: flask-openapi3 asks for it at every request, which dominated its time."""
        return super().model_json_schema(*args, **kwargs)
