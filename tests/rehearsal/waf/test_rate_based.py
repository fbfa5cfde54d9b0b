"""Rate-based rules."""

from typing import Any

from rehearsal.waf.web_acl import WebAcl
from rehearsal.waf.web_request import WebRequest
from tests.rehearsal.waf.web_acls import NONE, acl, evaluate, header_is, rate, request, statement_rule


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def rate_limited(clock: Clock, **settings: Any) -> WebAcl:
    return WebAcl.parse(acl(statement_rule("rate", rate(**settings))), clock=clock)


def blocked(parsed: WebAcl, *requests: WebRequest) -> list[bool]:
    return [evaluate(parsed, inspected).action.kind == "BLOCK" for inspected in requests]


def test_requests_beyond_the_limit_of_the_window_are_blocked() -> None:
    clock = Clock()
    parsed = rate_limited(clock)
    assert blocked(parsed, *[request()] * 12) == [False] * 10 + [True] * 2
    clock.now += 59
    assert blocked(parsed, request()) == [True]
    clock.now += 1.5  # only the last blocked request is still in the window
    assert blocked(parsed, *[request()] * 10) == [False] * 9 + [True]


def test_each_address_has_a_rate_of_its_statement_rule() -> None:
    parsed = rate_limited(Clock())
    assert blocked(parsed, *[request(client="192.0.2.1")] * 11)[-1]
    assert blocked(parsed, request(client="192.0.2.2")) == [False]


def test_each_value_of_a_header_has_its_own_rate() -> None:
    key = {"Header": {"Name": "Authorization", "TextTransformations": NONE}}
    parsed = rate_limited(Clock(), AggregateKeyType="CUSTOM_KEYS", CustomKeys=[key])
    assert blocked(parsed, *[request(authorization="one", client=f"192.0.2.{n}") for n in range(11)])[-1]
    assert blocked(parsed, request(authorization="two")) == [False]
    assert not any(blocked(parsed, *[request()] * 30))


def test_a_rate_counts_only_its_scope() -> None:
    parsed = rate_limited(Clock(), ScopeDownStatement=header_is("x", "1"))
    assert not any(blocked(parsed, *[request()] * 30))
    assert blocked(parsed, *[request(x="1")] * 11)[-1]
