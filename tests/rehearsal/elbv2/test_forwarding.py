"""Requests and responses are forwarded like by an Application Load Balancer."""

import asyncio
import contextlib
import gzip
import io
import json
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.rehearsal.elbv2.harness import GROUP, Harness, echo, run_scenario
from tests.waiting import wait_until_async

pytestmark = pytest.mark.rehearsal

Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return partial(run_scenario, tmp_path)


def test_requests_are_forwarded_unchanged(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with harness.client() as client:
            headers = {"X-Twice": "1", "Accept-Encoding": "gzip"}
            url = URL(f"https://{harness.endpoint.https}/v1/orders/a%2Fb?x=%20y", encoded=True)
            async with client.put(url, data="content", headers=headers) as response:
                received = await response.json()
                assert response.headers["X-From"] == "target"
                assert "X-Dropped" not in response.headers
                assert response.headers["Set-Cookie"] == "a=1"
        assert (received["method"], received["body"]) == ("PUT", "content")
        assert received["path"] == "/v1/orders/a%2Fb?x=%20y"
        assert ["X-Twice", "1"] in received["headers"]
        assert f"PUT {received['path']} 200 127.0.0.1:" in harness.log.read_text()

    run(scenario)


def test_targets_get_the_x_forwarded_headers(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with harness.client() as client:
            sent = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "http", "X-Amzn-Trace-Id": "Root=1-2-3"}
            async with client.get("/", headers=sent) as response:
                headers = dict((await response.json())["headers"])
            async with client.get("/") as response:
                fresh = dict((await response.json())["headers"])
        assert headers["X-Forwarded-For"] == "203.0.113.7, 127.0.0.1"
        assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-Port"]) == ("https", "443")
        assert headers["X-Amzn-Trace-Id"].startswith("Self=1-")
        assert headers["X-Amzn-Trace-Id"].endswith(";Root=1-2-3")
        assert fresh["X-Amzn-Trace-Id"].startswith("Root=1-")
        assert headers["Host"] == harness.endpoint.https

    run(scenario)


@pytest.mark.parametrize(("drop", "forwarded"), [(True, False), (False, True)])
def test_invalid_header_names_may_be_dropped(run: Run, drop: bool, forwarded: bool) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        async with (
            harness.client() as client,
            client.get("/", headers={"Idempotency_Key": "1", "X-Good": "1"}) as response,
        ):
            headers = dict((await response.json())["headers"])
        assert ("Idempotency_Key" in headers) is forwarded
        assert headers["X-Good"] == "1"

    run(scenario, drop_invalid_headers=drop)


async def send(harness: Harness, request: bytes) -> tuple[str, dict[str, str], bytes]:
    """Return the status line, headers and body of the response to a request that ends the connection."""
    port = int(str(harness.endpoint.https).rpartition(":")[2])
    trust = ssl.create_default_context(cafile=harness.authority.certificate)
    reader, writer = await asyncio.open_connection("localhost", port, ssl=trust)
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = head.decode("latin-1").split("\r\n")
    return status, dict(line.split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    "malformed",
    [
        b"secret\r\n\r\n",
        b"GET / HTTP/1.1\r\nsecret value: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
    ids=["request line", "header", "body", "target"],
)
def test_a_malformed_request_gets_an_error_page(run: Run, malformed: bytes) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        status, headers, body = await send(harness, malformed)
        assert status.endswith(" 400 Bad Request")
        assert headers["Server"] == "awselb/2.0"
        assert b"<h1>400 Bad Request</h1>" in body
        assert b"secret" not in body

    run(scenario)


def test_an_absolute_url_is_forwarded_as_its_path(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        request = b"GET https://other.example/v1?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        status, _, body = await send(harness, request)
        assert status == "HTTP/1.1 200 OK"
        assert json.loads(body)["path"] == "/v1?x=1"

    run(scenario)


def test_a_compressed_body_is_forwarded_unchanged(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        await harness.target(echo)  # decompresses the body
        async with harness.client() as client:
            compressed, headers = gzip.compress(b"content"), {"Content-Encoding": "gzip"}
            async with client.post("/", data=compressed, headers=headers) as response:
                assert (await response.json())["body"] == "content"

    run(scenario)


def test_a_listener_sets_and_removes_headers_of_every_response(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        https, http = harness.settings.listeners
        changed = replace(https, response_headers={"Strict-Transport-Security": "max-age=9"}, server_header=False)
        await harness.balancers.synchronize([replace(harness.settings, listeners=(changed, http))])
        close = b"Host: x\r\nConnection: close\r\n\r\n"
        no_target = await send(harness, b"GET / HTTP/1.1\r\n" + close)
        await harness.target(echo)
        responses = [
            no_target,
            await send(harness, b"GET / HTTP/1.1\r\n" + close),
            await send(harness, b"broken\r\n\r\n"),
        ]
        assert [int(status.split()[1]) for status, _, _ in responses] == [503, 200, 400]
        for _, headers, _ in responses:
            assert headers["Strict-Transport-Security"] == "max-age=9"
            assert "Server" not in headers

    run(scenario)


def test_long_bodies_are_streamed(run: Run) -> None:
    async def mirror(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for chunk in request.content.iter_any():
            await response.write(chunk)
        return response

    async def scenario(harness: Harness) -> None:
        await harness.target(mirror)
        body = bytes(range(256)) * 20_000
        async with harness.client() as client:
            async with client.post("/", data=io.BytesIO(body), expect100=True) as response:
                assert await response.read() == body
            async with client.post("/") as response:
                assert await response.read() == b""

    run(scenario)


def test_responses_without_a_body_keep_their_length(run: Run) -> None:
    async def scenario(harness: Harness) -> None:
        async def respond(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=204) if request.path == "/none" else web.Response(text="twelve bytes")

        await harness.target(respond)
        async with harness.client() as client:
            async with client.head("/") as response:
                assert (response.status, response.headers["Content-Length"]) == (200, "12")
            async with client.delete("/none") as response:
                assert (response.status, await response.read()) == (204, b"")

    run(scenario)


def test_nothing_but_date_and_type_is_added_to_a_response(run: Run) -> None:
    async def terse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

    async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await terse(reader, writer)
        writer.close()

    async def scenario(harness: Harness) -> None:
        server = await asyncio.start_server(ended, "127.0.0.1", 0, ssl=harness.authority.server_context())
        async with server:
            group = harness.groups.get(GROUP)
            assert group is not None
            target = group.register("127.0.0.1", server.sockets[0].getsockname()[1])
            await target.healthy.wait()
            async with harness.client() as client, client.get("/") as response:
                assert await response.text() == "ok"
                assert set(response.headers) == {"Transfer-Encoding", "Content-Type", "Date"}
            await group.close()

    run(scenario)


def test_an_aborted_connection_to_the_target_is_a_502(run: Run) -> None:
    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def scenario(harness: Harness) -> None:
        await harness.target(cut)
        async with harness.client() as client, client.post("/", data="x") as response:
            assert response.status == 502

    run(scenario)


def test_a_client_that_leaves_within_its_body_is_a_460(run: Run) -> None:
    """As in a load balancer's access log: it is nobody's server error."""

    async def scenario(harness: Harness) -> None:
        await harness.target(echo)
        trust = ssl.create_default_context(cafile=harness.authority.certificate)
        reader, writer = await asyncio.open_connection(*str(harness.endpoint.https).split(":"), ssl=trust)
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nx")
        await writer.drain()
        writer.transport.abort()
        await wait_until_async(lambda: harness.log.exists() and "POST / " in harness.log.read_text(), "its log line")
        assert "POST / 460 " in harness.log.read_text()
        assert await reader.read() == b""

    run(scenario)


def test_a_target_that_does_not_respond_is_a_504(run: Run) -> None:
    async def hang(_request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async def scenario(harness: Harness) -> None:
        await harness.target(hang)
        async with harness.client() as client, client.get("/") as response:
            assert response.status == 504

    run(scenario, idle_timeout=0.3)


def test_an_incomplete_response_does_not_look_complete(run: Run) -> None:
    async def half(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b"x" * 100_000)
        assert request.transport is not None
        request.transport.abort()
        return response

    async def scenario(harness: Harness) -> None:
        await harness.target(half)
        async with harness.client() as client:
            with pytest.raises(aiohttp.ClientError):
                async with client.get("/") as response:
                    await response.read()

    run(scenario)
