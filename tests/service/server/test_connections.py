"""Connections and their listener, in this process's event loop, with deadlines of moments."""

import asyncio
import gc
import os
import signal
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from payments.core.settings import Settings
from payments.server import https_server
from payments.server.connection import Deadlines
from payments.server.listener import Limits, Listener
from payments.server.messages import Request, Response
from tests.waiting import wait_until_async

# Tests that cut connections off leave their transports to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
_DEADLINES = Deadlines(handshake=0.3, keep_alive=0.3, head=0.3, body=0.3, response=0.5, closing=0.3, quiet=0.05)
_PATIENT = Deadlines(handshake=30, keep_alive=30, head=30, body=30, response=30, closing=30, quiet=0.05)
_GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
_TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_TRUSTING.check_hostname, _TRUSTING.verify_mode = False, ssl.CERT_NONE


class Server:
    """A listener that echoes paths; `/wait` is answered when the test says so."""

    def __init__(self, *, deadlines: Deadlines = _DEADLINES, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.waiting: list[Callable[[Response], None]] = []
        self.listener = Listener(
            self._socket,
            https_server._ssl_context("127.0.0.1"),
            deadlines=deadlines,
            limits=limits,
            serve=self._serve,
        )

    def _serve(self, request: Request, _: str, answer: Callable[[Response], None]) -> None:
        headers, body = [("Content-Type", "text/plain")], request.path.encode() + request.body
        match request.path:
            case "/wait":
                self.waiting.append(answer)
                return
            case "/unsafe":
                headers = [("X-Unsafe", "a\nb")]
            case "/long":
                body = b"x" * 20_000_000
        asyncio.get_running_loop().call_soon(answer, Response(status=HTTPStatus.OK, headers=headers, body=body))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=_TRUSTING)

    async def send(self, data: bytes) -> bytes:
        """Send on a new connection; return everything until the server closes it."""
        reader, writer = await self.connect()
        writer.write(data)
        return await _rest(reader, writer)


async def _rest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    try:
        return await reader.read()
    except OSError:
        return b""
    finally:
        writer.transport.abort()


async def _response(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:"))
    return head + await reader.readexactly(length)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    gc.collect()  # here, where its warnings are expected


def run(scenario: Coroutine[None, None, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario

    asyncio.run(bounded())


def test_requests_on_a_connection_are_answered_in_order() -> None:
    async def scenario() -> None:
        server = Server()
        reader, writer = await server.connect()
        writer.write(_GET % b"1" + _GET % b"2" + _GET % b"3")
        assert [(await _response(reader))[-2:] for _ in range(3)] == [b"/1", b"/2", b"/3"]
        assert await reader.read() == b"", "idle for too long"
        writer.close()

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"GET / HT", b"HTTP/1.1 408", id="half a head"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", b"HTTP/1.1 408", id="half a body"),
        pytest.param(b"NONSENSE\r\n\r\n", b"HTTP/1.1 400", id="no request"),
        pytest.param(_GET % b"unsafe", b"HTTP/1.1 500", id="unsafe header"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400", id="no Host"),
    ],
)
def test_what_cannot_be_served_ends(sent: bytes, answered: bytes) -> None:
    async def scenario() -> None:
        found = await Server().send(sent)
        assert found[: len(answered)] == answered
        assert bool(found) == bool(answered)

    run(scenario())


def test_a_client_that_never_shakes_hands_is_cut_off() -> None:
    async def scenario() -> None:
        server = Server()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await _rest(reader, writer) == b""
        await wait_until_async(lambda: not server.listener.has_connections(), "the end of the connection")

    run(scenario())


def test_a_client_that_does_not_read_is_cut_off() -> None:
    async def scenario() -> None:
        server = Server()
        _, writer = await server.connect()
        writer.write(_GET % b"long" + _GET % b"next")
        await wait_until_async(lambda: not server.listener.has_connections(), "the end of the connection")
        writer.transport.abort()

    run(scenario())


def test_a_body_is_asked_for_with_100_continue() -> None:
    async def scenario() -> None:
        reader, writer = await Server().connect()
        writer.write(b"POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        assert (await _response(reader)).endswith(b"/upab")
        writer.transport.abort()

    run(scenario())


def test_draining_waits_for_requests_only() -> None:
    async def scenario() -> None:
        server = Server(deadlines=_PATIENT)
        idle, busy = await server.connect(), await server.connect()
        busy[1].write(_GET % b"wait")
        await wait_until_async(lambda: server.waiting, "the request")
        await server.listener.drain()
        assert await _rest(*idle) == b""
        assert server.listener.has_requests()
        server.waiting[0](Response(status=HTTPStatus.OK, headers=[], body=b"done"))
        found = await _rest(*busy)
        assert found.endswith(b"done")
        assert b"Connection: close" in found
        assert not server.listener.has_requests()

    run(scenario())


def test_draining_serves_what_has_arrived_unread() -> None:
    async def scenario() -> None:
        server = Server(deadlines=_PATIENT)
        reader, writer = await server.connect()
        writer.write(_GET % b"1")
        assert (await _response(reader)).endswith(b"/1")
        writer.write(_GET % b"2")
        await server.listener.drain()  # before the event loop, which is this test's own, has read anything
        found = await _rest(reader, writer)
        assert found.endswith(b"/2")
        assert b"Connection: close" in found

    run(scenario())


def test_at_the_limit_who_waited_longest_makes_room() -> None:
    async def scenario() -> None:
        server = Server(deadlines=_PATIENT, limits=Limits(total=2, per_address=2))
        busy = await server.connect()
        busy[1].write(_GET % b"wait")
        await wait_until_async(lambda: server.waiting, "the request")
        idle = await server.connect()
        third = await server.connect()
        assert await _rest(*idle) == b""
        third[1].write(_GET % b"wait")
        await wait_until_async(lambda: len(server.waiting) == 2, "the second request")
        # Requests in progress are never cut off.
        with pytest.raises(OSError):
            await server.connect()
        server.waiting[0](Response(status=HTTPStatus.OK, headers=[], body=b"done"))
        assert (await _response(busy[0])).endswith(b"done")
        for _, writer in (busy, third):
            writer.transport.abort()

    run(scenario())


def test_the_server_ends_after_what_is_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(https_server, "_listening", lambda _: listening)
    entered, answers = threading.Event(), list[bytes]()

    def app(environ: dict[str, object], start: Callable[..., object]) -> list[bytes]:
        entered.set()
        os.kill(os.getpid(), signal.SIGTERM)
        start("200 OK", [("Content-Type", "text/plain")])
        return [str(environ["PATH_INFO"]).encode()]

    def ask() -> None:
        with socket.create_connection(listening.getsockname()) as connection, _TRUSTING.wrap_socket(connection) as tls:
            tls.sendall(_GET % b"last")
            while data := tls.recv(4096):
                answers.append(data)

    client = threading.Thread(target=ask)
    client.start()
    assert https_server.serve(Settings(), lambda: app) == 0
    client.join()
    assert entered.is_set()
    assert b"".join(answers).endswith(b"/last")


def test_a_port_in_use_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(port=taken.getsockname()[1])
        assert https_server.serve(settings, lambda: None) == https_server.EXIT_CANNOT_LISTEN  # type: ignore[arg-type, return-value]  # never called
    assert "cannot listen on 127.0.0.1" in caplog.text
