"""Rate-based statements: how many requests of one sender came within a window.

AWS estimates, and looks every few seconds; here every request is counted exactly, so that a limit shows at once.
Source: "Using rate-based rule statements in AWS WAF", AWS WAF Developer Guide.
"""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from rehearsal.compute.firewall.documents import UnknownToFirewallError, only, single
from rehearsal.compute.firewall.inspection import Component, WebRequest, component, transformation
from rehearsal.compute.firewall.statements import Statement, parse_statement

Clock = Callable[[], float]
"""Seconds that never go back."""

_WINDOWS = frozenset({60, 120, 300, 600})
_LOWEST_LIMIT = 10
_DEFAULT_WINDOW = 300


@dataclass(kw_only=True)
class _Counter:
    """Requests by second, oldest first, and their sum."""

    seconds: deque[list[int]] = field(default_factory=deque)
    total: int = 0

    def count(self, now: float, window: int) -> int:
        """Count one more request, forget those that left the window, and return how many are in it."""
        second = math.floor(now)
        if self.seconds and self.seconds[-1][0] == second:
            self.seconds[-1][1] += 1
        else:
            self.seconds.append([second, 1])
        self.total += 1
        while self.seconds[0][0] <= now - window:
            self.total -= self.seconds.popleft()[1]
        return self.total


@dataclass(frozen=True, kw_only=True)
class RateBased:
    """Matches the requests of a sender that are beyond the limit; whoever lacks a key is not counted."""

    limit: int
    window: int
    keys: Sequence[Component]
    scope: Statement | None
    clock: Clock
    counters: dict[tuple[str, ...], _Counter] = field(default_factory=lambda: defaultdict(_Counter))

    def matches(self, request: WebRequest, labels: Set[str]) -> bool:
        """Count a request, and tell whether it is one too many. Blocked ones count as well."""
        if self.scope is not None and not self.scope.matches(request, labels):
            return False
        parts = [key(request) for key in self.keys]
        sender = tuple(part for part in parts if part is not None)
        if len(sender) < len(parts):
            return False
        return self.counters[sender].count(self.clock(), self.window) > self.limit


def parse_rate_based(document: Mapping[str, Any], *, clock: Clock = time.monotonic) -> RateBased:
    """Read a RateBasedStatement.

    Raises:
        UnknownToFirewallError: AWS would refuse it, or it has something that is not known here.
    """
    only(document, "Limit", "EvaluationWindowSec", "AggregateKeyType", "CustomKeys", "ScopeDownStatement")
    limit = int(document["Limit"])
    window = int(document.get("EvaluationWindowSec", _DEFAULT_WINDOW))
    if window not in _WINDOWS or limit < _LOWEST_LIMIT:
        raise UnknownToFirewallError(f"the rate of {limit} requests in {window} s (AWS: at least 10 in 60 to 600 s)")
    scope = document.get("ScopeDownStatement")
    return RateBased(
        limit=limit,
        window=window,
        keys=_keys(document),
        scope=parse_statement(scope) if scope else None,
        clock=clock,
    )


def _keys(document: Mapping[str, Any]) -> Sequence[Component]:
    match document["AggregateKeyType"]:
        case "IP":
            return [lambda request: request.client]
        case "CUSTOM_KEYS":
            return [_custom_key(key) for key in document["CustomKeys"]]
    raise UnknownToFirewallError(f"the aggregation of requests by {document['AggregateKeyType']}")


def _custom_key(document: Mapping[str, Any]) -> Component:
    kind, settings = single(document, "a custom key")
    match kind:
        case "IP":
            return lambda request: request.client
        case "HTTPMethod":
            return lambda request: request.method
        case "Header":
            only(settings, "Name", "TextTransformations")
            header = component({"SingleHeader": {"Name": settings["Name"]}})
            transform = transformation(settings["TextTransformations"])
            return lambda request: None if (value := header(request)) is None else transform(value)
    raise UnknownToFirewallError(f"the custom key {kind}")
