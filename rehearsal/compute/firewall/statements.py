"""What a rule asks of a request: match statements and their combinations.

Source: "Using rule statements in AWS WAF", AWS WAF Developer Guide.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol

from rehearsal.compute.firewall.documents import UnknownToFirewallError, only, single
from rehearsal.compute.firewall.inspection import Component, WebRequest, component, transformation


class Statement(Protocol):
    """Something that is true of a request, or not."""

    def matches(self, request: WebRequest, labels: Set[str]) -> bool:
        """Whether it is true of `request`, to which earlier rules have added `labels`."""


@dataclass(frozen=True, kw_only=True)
class RegexMatch:
    """A part of the request contains what a regular expression describes."""

    expression: re.Pattern[str]
    part: Component
    transform: Callable[[str], str]

    def matches(self, request: WebRequest, labels: Set[str]) -> bool:  # noqa: ARG002
        """Whether it does; a part that is not there does not."""
        text = self.part(request)
        return text is not None and self.expression.search(self.transform(text)) is not None


@dataclass(frozen=True, kw_only=True)
class LabelMatch:
    """An earlier rule has added a label: this very one, or any of a namespace."""

    key: str
    namespace: bool

    def matches(self, request: WebRequest, labels: Set[str]) -> bool:  # noqa: ARG002
        """Whether there is such a label; the end of a key without its web ACL's prefix is enough, as on AWS."""
        if self.namespace:
            return any(f":{self.key}" in f":{label}" for label in labels)
        return any(f":{label}".endswith(f":{self.key}") for label in labels)


@dataclass(frozen=True, kw_only=True)
class AllOf:
    """Every one of some statements."""

    statements: Sequence[Statement]

    def matches(self, request: WebRequest, labels: Set[str]) -> bool:
        """Whether all are true."""
        return all(statement.matches(request, labels) for statement in self.statements)


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """At least one of some statements."""

    statements: Sequence[Statement]

    def matches(self, request: WebRequest, labels: Set[str]) -> bool:
        """Whether one is true."""
        return any(statement.matches(request, labels) for statement in self.statements)


@dataclass(frozen=True, kw_only=True)
class Not:
    """The opposite of a statement."""

    statement: Statement

    def matches(self, request: WebRequest, labels: Set[str]) -> bool:
        """Whether it is not true."""
        return not self.statement.matches(request, labels)


def parse_statement(document: Mapping[str, Any]) -> Statement:
    """Read a statement that may stand anywhere, also in another one.

    Raises:
        UnknownToFirewallError: it is of a kind that is not known here.
    """
    kind, settings = single(document, "a statement")
    match kind:
        case "RegexMatchStatement":
            return _regex(settings)
        case "LabelMatchStatement":
            return _label(settings)
        case "AndStatement":
            return AllOf(statements=_several(settings))
        case "OrStatement":
            return OneOf(statements=_several(settings))
        case "NotStatement":
            only(settings, "Statement")
            return Not(statement=parse_statement(settings["Statement"]))
    raise UnknownToFirewallError(f"the statement {kind}")


def _regex(document: Mapping[str, Any]) -> RegexMatch:
    only(document, "RegexString", "FieldToMatch", "TextTransformations")
    return RegexMatch(
        expression=re.compile(document["RegexString"]),
        part=component(document["FieldToMatch"]),
        transform=transformation(document["TextTransformations"]),
    )


def _label(document: Mapping[str, Any]) -> LabelMatch:
    only(document, "Scope", "Key")
    return LabelMatch(key=document["Key"], namespace=document["Scope"] == "NAMESPACE")


def _several(document: Mapping[str, Any]) -> Sequence[Statement]:
    only(document, "Statements")
    return [parse_statement(statement) for statement in document["Statements"]]
