"""A request as a web ACL looks at it: its parts, and the transformations of text before they are compared.

Source: "Request components" and "Text transformations", AWS WAF Developer Guide.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import unquote_plus

from rehearsal.compute.firewall.documents import UnknownToFirewallError, only, single

BODY_BYTES = 8_192
"""Bytes of a body that AWS WAF sees in front of an Application Load Balancer; the rest is not inspected."""


@dataclass(frozen=True, kw_only=True)
class WebRequest:
    """What a web ACL sees. `headers` are in lower case; `path` and `query` are as they were sent."""

    client: str
    method: str
    path: str
    query: str
    headers: Mapping[str, Sequence[str]]
    body: bytes = b""

    def with_body(self, body: bytes) -> Self:
        """The same request, once the beginning of its body has arrived."""
        return replace(self, body=body[:BODY_BYTES])

    def header(self, name: str) -> str | None:
        """A header's value, several joined as one; ``None`` without such a header."""
        values = self.headers.get(name)
        return ",".join(values) if values else None


Component = Callable[[WebRequest], str | None]
"""What is taken from a request; ``None`` where it has no such part."""


def component(document: Mapping[str, Any]) -> Component:
    """Read a FieldToMatch.

    Raises:
        UnknownToFirewallError: it names a part that is not known here.
    """
    kind, settings = single(document, "a field to match")
    match kind:
        case "SingleHeader":
            only(settings, "Name")
            name = str(settings["Name"]).lower()
            return lambda request: request.header(name)
        case "UriPath":
            return lambda request: request.path
        case "QueryString":
            return lambda request: request.query
        case "Method":
            return lambda request: request.method
    raise UnknownToFirewallError(f"the field to match {kind}")


def transformation(documents: Iterable[Mapping[str, Any]]) -> Callable[[str], str]:
    """Read TextTransformations, which are applied by priority.

    Raises:
        UnknownToFirewallError: one of them is not known here.
    """
    steps = []
    for document in sorted(documents, key=lambda one: int(one["Priority"])):
        only(document, "Priority", "Type")
        if document["Type"] not in _TRANSFORMATIONS:
            raise UnknownToFirewallError(f"the text transformation {document['Type']}")
        steps.append(_TRANSFORMATIONS[document["Type"]])

    def transform(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return transform


_TRANSFORMATIONS: Mapping[str, Callable[[str], str]] = {
    "NONE": lambda text: text,
    "LOWERCASE": str.lower,
    "URL_DECODE": unquote_plus,
    "HTML_ENTITY_DECODE": html.unescape,
    "COMPRESS_WHITE_SPACE": lambda text: re.sub(r"[\s\u00a0]+", " ", text),
}
