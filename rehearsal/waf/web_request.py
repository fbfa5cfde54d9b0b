"""A request as a web ACL inspects it.

Source: "Request components" and "Text transformations", AWS WAF Developer Guide.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from rehearsal.waf.documents import Document, UnsupportedError, only_member, refuse_others

#: The bytes of a body that AWS WAF inspects in front of an Application Load Balancer.
INSPECTED_BODY_BYTES = 8_192


@dataclass(frozen=True, kw_only=True)
class WebRequest:
    """A request; header names are in lower case, `path` and `query` are as the client sent them."""

    client: str
    method: str
    path: str
    query: str
    headers: Mapping[str, Sequence[str]]
    body: bytes = b""

    def with_body(self, body: bytes) -> Self:
        """Return the same request with the inspected part of its body."""
        return replace(self, body=body[:INSPECTED_BODY_BYTES])

    def header(self, name: str) -> str | None:
        """Return the value of a header, several joined; None without such a header."""
        values = self.headers.get(name)
        return ",".join(values) if values else None


#: Returns a component of a request; None when the request does not have it.
Component = Callable[[WebRequest], str | None]


def parse_field_to_match(document: Document) -> Component:
    """Parse a FieldToMatch.

    Raises:
        UnsupportedError: The component is not implemented.

    """
    kind, settings = only_member(document, "a field to match")
    match kind:
        case "SingleHeader":
            refuse_others(settings, "Name")
            name = str(settings["Name"]).lower()
            return lambda request: request.header(name)
        case "UriPath":
            return lambda request: request.path
    raise UnsupportedError(f"the field to match {kind}")


def refuse_transformations(documents: Iterable[Document]) -> None:
    """Refuse TextTransformations other than NONE.

    Raises:
        UnsupportedError: There is another one.

    """
    for document in documents:
        refuse_others(document, "Priority", "Type")
        if document["Type"] != "NONE":
            raise UnsupportedError(f"the text transformation {document['Type']}")
