"""A web ACL in front of a load balancer."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from rehearsal.host.errors import RehearsalError
from tests.rehearsal.elbv2.harness import Harness, echo, run_scenario
from tests.rehearsal.waf.web_acls import (
    CORE,
    COUNT,
    IN_QUERY,
    SQL_INJECTION,
    SQLI,
    acl,
    group,
    overrides,
    rate,
    statement_rule,
)
from tests.waiting import wait_until_async

pytestmark = pytest.mark.rehearsal

Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return partial(run_scenario, tmp_path)


async def status(client: ClientSession, method: str = "GET", path: str = "/", **options: Any) -> int:
    async with client.request(method, path, **options) as response:
        await response.read()
        return response.status


def test_without_a_web_acl_every_request_passes(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with harness.client() as client:
            assert await status(client, path=SQL_INJECTION) == 200

    run(scenario)


def test_an_inspected_body_is_forwarded_complete(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        body = "0123456789" * 3_000

        async def chunks() -> AsyncIterator[bytes]:
            yield b"first "
            yield b"second"

        async with harness.client() as client:
            for data, received in ((io.BytesIO(body.encode()), body), (chunks(), "first second"), (b"", "")):
                async with client.post("/", data=data, expect100=data != b"") as response:
                    assert (await response.json())["body"] == received

    run(scenario, web_acl=acl(group(CORE, RuleActionOverrides=overrides(SizeRestrictions_BODY=COUNT))))


async def half_a_request(harness: Harness) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(str(harness.endpoint.http).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nUser-Agent: x\r\nContent-Length: 10\r\n\r\nhalf")
    await writer.drain()
    return reader, writer


def test_a_client_that_does_not_send_its_body_gets_a_408(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        reader, writer = await half_a_request(harness)
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()

    run(scenario, web_acl=acl(group(SQLI)), idle_timeout=0.2)


def test_a_client_that_leaves_within_its_body(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        _, writer = await half_a_request(harness)
        writer.transport.abort()
        await wait_until_async(lambda: harness.log.exists() and "POST / " in harness.log.read_text(), "its log line")
        assert "POST / 460 web ACL" in harness.log.read_text()

    run(scenario, web_acl=acl(group(SQLI)))


def test_the_web_acl_is_evaluated_before_redirects(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        async with ClientSession() as client:
            url = f"http://{harness.endpoint.http}{SQL_INJECTION}"
            assert await status(client, path=url, allow_redirects=False) == 403

    run(scenario, web_acl=acl(group(SQLI)))


def test_an_unchanged_web_acl_keeps_its_rates(run: Run) -> None:
    first, second = acl(statement_rule("rate", rate(10))), acl(statement_rule("rate", rate(20)))

    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with harness.client() as client:
            assert [await status(client) for _ in range(11)][-1] == 403
            await harness.balancers.synchronize(
                [replace(harness.settings, web_acl=acl(statement_rule("rate", rate(10))))]
            )
            assert await status(client) == 403
            await harness.balancers.synchronize([replace(harness.settings, web_acl=second)])
            assert await status(client) == 200
            await harness.balancers.synchronize([replace(harness.settings, web_acl=None)])
            assert await status(client) == 200
        assert harness.notifications == ["web ACL waf-acl-dev: block rate 2"]

    run(scenario, web_acl=first)


def test_an_unsupported_web_acl_changes_nothing(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        unknown = acl(statement_rule("geo", {"GeoMatchStatement": {"CountryCodes": ["DE"]}}))
        with pytest.raises(RehearsalError, match="rule geo: the statement GeoMatchStatement"):
            await harness.balancers.synchronize([replace(harness.settings, web_acl=unknown)])
        async with harness.client() as client:
            assert await status(client, path=SQL_INJECTION) == 403

    run(scenario, web_acl=acl(group(SQLI)))


def test_matches_are_logged_without_protected_headers(run: Run, tmp_path: Path) -> None:
    protection = {"Action": "SUBSTITUTION", "Field": {"FieldType": "SINGLE_HEADER", "FieldKeys": ["Authorization"]}}
    counted = group(SQLI, RuleActionOverrides=overrides(SQLi_BODY=COUNT))
    document = acl(counted, DataProtectionConfig={"DataProtections": [protection]})

    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with harness.client() as client:
            secret = {"Authorization": "Bearer sk_test_secret"}
            assert await status(client, headers=secret) == 200
            assert await status(client, "POST", data="' OR 1=1 --", headers=secret) == 200
            assert await status(client, path=SQL_INJECTION, headers=secret) == 403
        await harness.balancers.close()
        assert harness.notifications == ["web ACL waf-acl-dev: block SQLi_QUERYARGUMENTS 1; count SQLi_BODY 1"]

    run(scenario, web_acl=document)
    written = (tmp_path / "logs" / "web-acl-waf-acl-dev.log").read_text()
    assert "secret" not in written
    count, block = [json.loads(line) for line in written.splitlines()]
    assert (count["action"], count["terminatingRuleId"]) == ("ALLOW", "Default_Action")
    assert count["ruleGroupList"][0]["nonTerminatingMatchingRules"] == [{"ruleId": "SQLi_BODY", "action": "COUNT"}]
    assert (block["action"], block["terminatingRuleId"]) == ("BLOCK", SQLI)
    assert block["ruleGroupList"][0]["terminatingRule"] == {"ruleId": "SQLi_QUERYARGUMENTS", "action": "BLOCK"}
    assert block["labels"] == [{"name": IN_QUERY}]
    assert block["httpRequest"]["clientIp"] == "127.0.0.1"
    assert {"name": "authorization", "value": "REDACTED"} in block["httpRequest"]["headers"]
