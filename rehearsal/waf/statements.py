"""Match statements.

Source: "Using rule statements in AWS WAF", AWS WAF Developer Guide.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from rehearsal.waf.documents import Document, UnsupportedError, only_member, refuse_others
from rehearsal.waf.web_request import Component, WebRequest, parse_field_to_match, refuse_transformations


class Statement(Protocol):
    """A statement that matches a request or does not."""

    def matches(self, request: WebRequest) -> bool:
        """Return whether it matches."""


@dataclass(frozen=True, kw_only=True)
class RegexMatch:
    """Matches when a component contains a match of a regular expression."""

    expression: re.Pattern[str]
    component: Component

    def matches(self, request: WebRequest) -> bool:
        """Return whether it matches; a component that is missing does not."""
        text = self.component(request)
        return text is not None and self.expression.search(text) is not None


@dataclass(frozen=True, kw_only=True)
class Not:
    """Matches when another statement does not."""

    statement: Statement

    def matches(self, request: WebRequest) -> bool:
        """Return whether it matches."""
        return not self.statement.matches(request)


def parse_statement(document: Document) -> Statement:
    """Parse a statement that may be nested in another one.

    Raises:
        UnsupportedError: The statement is not implemented.

    """
    kind, settings = only_member(document, "a statement")
    match kind:
        case "RegexMatchStatement":
            refuse_others(settings, "RegexString", "FieldToMatch", "TextTransformations")
            refuse_transformations(settings["TextTransformations"])
            return RegexMatch(
                expression=re.compile(settings["RegexString"]), component=parse_field_to_match(settings["FieldToMatch"])
            )
        case "NotStatement":
            refuse_others(settings, "Statement")
            return Not(statement=parse_statement(settings["Statement"]))
    raise UnsupportedError(f"the statement {kind}")


def parse_scope_down(document: Document) -> Statement | None:
    """Parse the ScopeDownStatement of a statement, if it has one.

    Raises:
        UnsupportedError: The statement is not implemented.

    """
    scope = document.get("ScopeDownStatement")
    return parse_statement(scope) if scope else None
