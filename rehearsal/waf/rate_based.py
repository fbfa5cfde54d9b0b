"""Rate-based statements: limits on the requests of one client within a window.

AWS estimates rates and checks them every few seconds; here every request is counted exactly.
Source: "Using rate-based rule statements in AWS WAF", AWS WAF Developer Guide.
"""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rehearsal.waf.documents import Document, UnsupportedError, only_member, refuse_others
from rehearsal.waf.statements import Statement, parse_scope_down
from rehearsal.waf.web_request import Component, WebRequest, parse_field_to_match, refuse_transformations

#: Returns monotonic seconds.
Clock = Callable[[], float]

_WINDOWS = frozenset({60, 120, 300, 600})
_LOWEST_LIMIT = 10
_DEFAULT_WINDOW = 300


@dataclass(kw_only=True)
class _Counter:
    """Request counts by second, oldest first, and their total."""

    seconds: deque[list[int]] = field(default_factory=deque)
    total: int = 0

    def add(self, now: float, window: int) -> int:
        """Count a request and return the number of requests in the window."""
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
    """Matches the requests beyond the limit; a request that lacks a key is not counted."""

    limit: int
    window: int
    keys: Sequence[Component]
    scope: Statement | None
    clock: Clock
    counters: dict[tuple[str, ...], _Counter] = field(default_factory=lambda: defaultdict(_Counter))

    def matches(self, request: WebRequest) -> bool:
        """Count a request, blocked ones included, and return whether it exceeds the limit."""
        if self.scope is not None and not self.scope.matches(request):
            return False
        values = [key(request) for key in self.keys]
        aggregate = tuple(value for value in values if value is not None)
        if len(aggregate) < len(values):
            return False
        return self.counters[aggregate].add(self.clock(), self.window) > self.limit


def parse_rate_based(document: Document, *, clock: Clock = time.monotonic) -> RateBased:
    """Parse a RateBasedStatement.

    Raises:
        UnsupportedError: AWS would refuse it, or it uses something that is not implemented.

    """
    refuse_others(document, "Limit", "EvaluationWindowSec", "AggregateKeyType", "CustomKeys", "ScopeDownStatement")
    limit = int(document["Limit"])
    window = int(document.get("EvaluationWindowSec", _DEFAULT_WINDOW))
    if window not in _WINDOWS or limit < _LOWEST_LIMIT:
        raise UnsupportedError(f"the rate of {limit} requests in {window} s (AWS: at least 10 in 60 to 600 s)")
    return RateBased(
        limit=limit, window=window, keys=_parse_keys(document), scope=parse_scope_down(document), clock=clock
    )


def _parse_keys(document: Document) -> Sequence[Component]:
    match document["AggregateKeyType"]:
        case "IP":
            return [lambda request: request.client]
        case "CUSTOM_KEYS":
            return [_parse_custom_key(key) for key in document["CustomKeys"]]
    raise UnsupportedError(f"the aggregation of requests by {document['AggregateKeyType']}")


def _parse_custom_key(document: Document) -> Component:
    kind, settings = only_member(document, "a custom key")
    if kind != "Header":
        raise UnsupportedError(f"the custom key {kind}")
    refuse_others(settings, "Name", "TextTransformations")
    refuse_transformations(settings["TextTransformations"])
    return parse_field_to_match({"SingleHeader": {"Name": settings["Name"]}})
