"""The local load balancer behaves to clients and targets like an Application Load Balancer."""

import asyncio
import contextlib
import gzip
import io
import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from rehearsal.elbv2.load_balancer import Endpoint, LoadBalancer
from rehearsal.elbv2.routing import (
    Condition,
    FixedResponse,
    ListenerSettings,
    LoadBalancerSettings,
    Rule,
)
from rehearsal.elbv2.target_groups import TargetGroups, TargetHealth, status_matches
from rehearsal.host.certificates import CertificateAuthority
from rehearsal.host.errors import PortInUseError
from tests.rehearsal.elbv2.load_balancer_fixture import DNS_NAME, GROUP, Handler, Stage, echo, play_in

pytestmark = pytest.mark.rehearsal


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Play a scenario with a load balancer."""
    return partial(play_in, tmp_path)


def test_a_request_reaches_a_target_as_it_was_sent(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        async with stage.client() as client:
            headers = {"X-Twice": "1", "Accept-Encoding": "gzip"}
            url = URL(f"https://{stage.endpoint.https}/v1/payments/a%2Fb?x=%20y", encoded=True)
            async with client.put(url, data="content", headers=headers) as answer:
                seen = await answer.json()
                assert answer.headers["X-From"] == "target"
                assert "X-Dropped" not in answer.headers
                assert answer.headers["Set-Cookie"] == "a=1"
        assert (seen["method"], seen["body"]) == ("PUT", "content")
        assert seen["path"] == "/v1/payments/a%2Fb?x=%20y"
        assert ["X-Twice", "1"] in seen["headers"]
        assert f"PUT {seen['path']} 200 127.0.0.1:" in stage.log.read_text()

    play(scenario)


def test_targets_learn_who_asked_and_how(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        async with stage.client() as client:
            sent = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "http", "X-Amzn-Trace-Id": "Root=1-2-3"}
            async with client.get("/", headers=sent) as answer:
                headers = dict((await answer.json())["headers"])
            async with client.get("/") as answer:
                fresh = dict((await answer.json())["headers"])
        assert headers["X-Forwarded-For"] == "203.0.113.7, 127.0.0.1"
        assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-Port"]) == ("https", "443")
        assert headers["X-Amzn-Trace-Id"].startswith("Self=1-")
        assert headers["X-Amzn-Trace-Id"].endswith(";Root=1-2-3")
        assert fresh["X-Amzn-Trace-Id"].startswith("Root=1-")
        assert headers["Host"] == stage.endpoint.https

    play(scenario)


@pytest.mark.parametrize(("drop", "seen"), [(True, False), (False, True)])
def test_invalid_header_names_are_dropped_when_the_attribute_says_so(
    play: Callable[..., None], drop: bool, seen: bool
) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        async with stage.client() as client, client.get("/", headers={"Idempotency_Key": "1", "X-Good": "1"}) as answer:
            headers = dict((await answer.json())["headers"])
        assert ("Idempotency_Key" in headers) is seen
        assert headers["X-Good"] == "1"

    play(scenario, drop_invalid_headers=drop)


async def raw(stage: Stage, request: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and body of the answer to ``request``, after which the connection ends."""
    port = int(str(stage.endpoint.https).rpartition(":")[2])
    trust = ssl.create_default_context(cafile=stage.authority.certificate)
    reader, writer = await asyncio.open_connection("localhost", port, ssl=trust)
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = head.decode("latin-1").split("\r\n")
    return status, dict(line.split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    "request_",
    [
        b"secret\r\n\r\n",
        b"GET / HTTP/1.1\r\nsecret value: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
def test_a_broken_request_gets_the_page_of_a_load_balancer(play: Callable[..., None], request_: bytes) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        status, headers, body = await raw(stage, request_)
        assert status.endswith(" 400 Bad Request")
        assert headers["Server"] == "awselb/2.0"
        assert b"<h1>400 Bad Request</h1>" in body
        assert b"secret" not in body

    play(scenario)


def test_an_absolute_target_is_forwarded_as_its_path(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.target(echo)
        request = b"GET https://elsewhere.example/v1?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        status, _, body = await raw(stage, request)
        assert status == "HTTP/1.1 200 OK"
        assert json.loads(body)["path"] == "/v1?x=1"

    play(scenario)


def test_a_compressed_body_is_forwarded_as_it_is(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.target(echo)  # unpacks what says that it is packed
        async with stage.client() as client:
            packed, headers = gzip.compress(b"content"), {"Content-Encoding": "gzip"}
            async with client.post("/", data=packed, headers=headers) as answer:
                assert (await answer.json())["body"] == "content"

    play(scenario)


def test_a_listener_sets_headers_and_hides_the_server_on_every_answer(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        https, http = stage.settings.listeners
        dressed = replace(https, response_headers={"Strict-Transport-Security": "max-age=9"}, names_server=False)
        await stage.balancers.synchronize([replace(stage.settings, listeners=(dressed, http))])
        close = b"Host: x\r\nConnection: close\r\n\r\n"
        none = await raw(stage, b"GET / HTTP/1.1\r\n" + close)
        await stage.target(echo)
        answers = [none, await raw(stage, b"GET / HTTP/1.1\r\n" + close), await raw(stage, b"broken\r\n\r\n")]
        assert [int(status.split()[1]) for status, _, _ in answers] == [503, 200, 400]
        for _, headers, _ in answers:
            assert headers["Strict-Transport-Security"] == "max-age=9"
            assert "Server" not in headers

    play(scenario)


def test_long_bodies_are_streamed_both_ways(play: Callable[..., None]) -> None:
    async def mirror(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for chunk in request.content.iter_any():
            await response.write(chunk)
        return response

    async def scenario(stage: Stage) -> None:
        await stage.target(mirror)
        body = bytes(range(256)) * 20_000
        async with stage.client() as client:
            async with client.post("/", data=io.BytesIO(body), expect100=True) as answer:
                assert await answer.read() == body
            async with client.post("/") as answer:
                assert await answer.read() == b""

    play(scenario)


def test_answers_without_a_body_keep_their_length(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        async def answer_of(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=204) if request.path == "/none" else web.Response(text="twelve bytes")

        await stage.target(answer_of)
        async with stage.client() as client:
            async with client.head("/") as answer:
                assert (answer.status, answer.headers["Content-Length"]) == (200, "12")
            async with client.delete("/none") as answer:
                assert (answer.status, await answer.read()) == (204, b"")

    play(scenario)


def test_nothing_is_added_to_a_terse_answer_but_its_date_and_type(play: Callable[..., None]) -> None:
    async def terse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

    async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await terse(reader, writer)
        writer.close()

    async def scenario(stage: Stage) -> None:
        server = await asyncio.start_server(ended, "127.0.0.1", 0, ssl=stage.authority.issue().server_context())
        async with server:
            group = stage.groups.get(GROUP)
            assert group is not None
            target = group.register("127.0.0.1", server.sockets[0].getsockname()[1])
            await target.healthy.wait()
            async with stage.client() as client, client.get("/") as answer:
                assert await answer.text() == "ok"
                assert set(answer.headers) == {"Transfer-Encoding", "Content-Type", "Date"}
            await group.close()

    play(scenario)


def test_the_http_listener_redirects_to_the_https_listener(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        async with aiohttp.ClientSession() as client:
            url = f"http://{stage.endpoint.http}/v1/payments?limit=1"
            async with client.get(url, allow_redirects=False) as answer:
                assert answer.status == 301
                assert answer.headers["Location"] == f"https://{stage.endpoint.https}/v1/payments?limit=1"

    play(scenario)


def test_clients_verify_the_certificate_and_old_tls_is_refused(play: Callable[..., None], tmp_path: Path) -> None:
    def handshake(port: int, name: str, maximum: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context(cafile=tmp_path / "ca" / "ca.pem")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = maximum
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            context.wrap_socket(raw, server_hostname=name) as tls,
        ):
            version = tls.version()
            tls.unwrap()
            return version

    async def scenario(stage: Stage) -> None:
        assert stage.endpoint.https is not None
        port = int(stage.endpoint.https.partition(":")[2])
        for name in ("localhost", "127.0.0.1", DNS_NAME):
            assert await asyncio.to_thread(handshake, port, name, ssl.TLSVersion.MAXIMUM_SUPPORTED) == "TLSv1.3"
        assert await asyncio.to_thread(handshake, port, "localhost", ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(handshake, port, "elsewhere.example", ssl.TLSVersion.MAXIMUM_SUPPORTED)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises(ssl.SSLError):
            await asyncio.to_thread(handshake, port, "localhost", ssl.TLSVersion.TLSv1_1)
        await asyncio.sleep(0.2)  # let the server see the refused ones end: it reports sockets that it had to drop

    play(scenario)


def test_without_targets_the_answer_is_503(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as client, client.get("/") as answer:
            assert (answer.status, answer.headers["Server"]) == (503, "awselb/2.0")
            assert "503 Service Temporarily Unavailable" in await answer.text()

    play(scenario)


def test_a_target_that_breaks_off_is_502(play: Callable[..., None]) -> None:
    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def scenario(stage: Stage) -> None:
        await stage.target(cut)
        async with stage.client() as client, client.post("/", data="x") as answer:
            assert answer.status == 502

    play(scenario)


def test_a_target_that_does_not_answer_is_504(play: Callable[..., None]) -> None:
    async def hang(_request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(20)
        return web.Response()

    async def scenario(stage: Stage) -> None:
        await stage.target(hang)
        async with stage.client() as client, client.get("/") as answer:
            assert answer.status == 504

    play(scenario, idle_timeout=0.3)


def test_an_answer_that_is_cut_in_the_middle_is_not_made_to_look_whole(play: Callable[..., None]) -> None:
    async def half(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b"x" * 100_000)
        assert request.transport is not None
        request.transport.abort()
        return response

    async def scenario(stage: Stage) -> None:
        await stage.target(half)
        async with stage.client() as client:
            with pytest.raises(aiohttp.ClientError):
                async with client.get("/") as answer:
                    await answer.read()

    play(scenario)


def test_healthy_targets_share_the_load(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        served: list[int] = []

        def named(number: int) -> Handler:
            async def handler(_request: web.BaseRequest) -> web.StreamResponse:
                served.append(number)
                return web.Response()

            return handler

        await stage.target(named(1))
        await stage.target(named(2))
        await stage.target(named(3), healthy=False)
        async with stage.client() as client:
            for _ in range(10):
                (await client.get("/")).release()
        assert sorted(served) == [1] * 5 + [2] * 5

    play(scenario)


def test_only_unhealthy_targets_are_better_than_none(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        target = await stage.target(echo, healthy=False)
        assert target.health is TargetHealth.UNHEALTHY
        async with stage.client() as client, client.get("/") as answer:
            assert answer.status == 200

    play(scenario)


def test_rules_decide_in_order(play: Callable[..., None]) -> None:
    def rule(status: int, *conditions: Condition) -> Rule:
        return Rule(action=FixedResponse(status=status, body=str(status)), conditions=conditions)

    async def scenario(stage: Stage) -> None:
        rules = (
            rule(
                201,
                Condition(name="path-pattern", values=("/v1/*",)),
                Condition(name="http-request-method", values=("POST",)),
            ),
            rule(202, Condition(name="host-header", values=("*.example",))),
            rule(203, Condition(name="http-header", values=("yes",), header="X-Test")),
            rule(205, Condition(name="query-string", values=("a=1",))),
            rule(206, Condition(name="source-ip", values=("127.0.0.0/8",))),
            rule(418),
        )
        listeners = (ListenerSettings(port=443, protocol="HTTPS", rules=rules),)
        changed = LoadBalancerSettings(arn="arn:alb", name="alb-dev", dns_name=DNS_NAME, listeners=listeners)
        port = stage.endpoint.https
        await stage.balancers.synchronize([changed])
        assert stage.endpoint == Endpoint(https=port, http=None), "the listener stays, the other one is closed"
        async with stage.client() as client:
            for expected, request in {
                201: client.post("/v1/payments"),
                202: client.get("/", headers={"Host": "api.example"}),
                203: client.get("/v1/x", headers={"X-Test": "yes"}),
                205: client.get("/?a=1"),
                206: client.get("/v1/payments"),
            }.items():
                async with request as answer:
                    assert answer.status == expected

    play(scenario)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            settings = Stage(tmp_path).settings
            balancer = LoadBalancer(
                settings,
                groups=TargetGroups(),
                authority=CertificateAuthority(tmp_path),
                port_for=lambda name, listener: port if (name, listener) == ("alb-dev", 443) else 0,
                logs=tmp_path,
            )
            wanted = rf"port {port}, wanted for the HTTPS listener 443 of load balancer alb-dev, is in use"
            with pytest.raises(PortInUseError, match=wanted):
                await balancer.update(settings)
            await balancer.close()

    asyncio.run(scenario())


def test_texts_are_localized(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        https, http = stage.endpoint.https, stage.endpoint.http
        localize = stage.balancers.localize
        assert localize(f"https://{DNS_NAME}") == f"https://{https}"
        assert localize(f"https://{DNS_NAME}:443/x and http://{DNS_NAME}/y") == f"https://{https}/x and http://{http}/y"
        assert localize(DNS_NAME.upper()) == https
        assert localize("https://elsewhere.example") == "https://elsewhere.example"

    play(scenario)


@pytest.mark.parametrize(
    ("matcher", "matching", "others"),
    [("200", [200], [201]), ("200,302", [200, 302], [301]), ("200-299", [200, 250, 299], [300, 199])],
)
def test_health_matchers(matcher: str, matching: list[int], others: list[int]) -> None:
    assert all(status_matches(status, matcher) for status in matching)
    assert not any(status_matches(status, matcher) for status in others)
