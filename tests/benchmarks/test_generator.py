"""The generator measures what a client would notice, and is faster than what it measures."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme
from rich.console import Console

from benchmarks.generator.__main__ import Generator
from benchmarks.generator.null_server import RESPONSE
from benchmarks.generator.work import Done, Work
from benchmarks.options import Options
from benchmarks.stand import Stand

Handler = Callable[[bytes], Awaitable[bytes]]


def work(port: int, **changes: object) -> Work:
    fields: dict[str, object] = {"port": port, "flow": "create", "seconds": 1.0, "connections": 1, "keys": ("k",)}
    return Work(**{**fields, **changes})  # type: ignore[arg-type]  # the fields of Work, by name


def generate(handler: Handler, **changes: object) -> Done:
    """Load a TLS server that answers each request with what `handler` returns; no bytes close the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(65_536):
            answer = await handler(request)
            if not answer:
                break
            writer.write(answer)
        writer.close()

    async def run() -> Done:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost").configure_cert(context)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        async with server:
            done = await Generator(work(server.sockets[0].getsockname()[1], **changes)).run()
            server.close()
            return done

    return asyncio.run(run())


async def slow(_: bytes) -> bytes:
    await asyncio.sleep(0.05)
    return RESPONSE


def test_an_open_loop_counts_from_the_intended_start() -> None:
    """One connection serves 20 a second and is asked 100: a closed loop would report 50 ms for each."""
    done = generate(slow, rate=100.0, seconds=0.3)
    assert done.succeeded == 30
    assert max(done.latencies) >= 30 * 50 - 300, "the last was due after 0.3 s and answered after 1.5"
    assert max(done.lateness) >= 29 * 50 - 300


def test_a_closed_loop_waits_for_each_answer() -> None:
    done = generate(slow, flows=5)
    assert done.succeeded == len(done.latencies) == 5
    assert done.elapsed >= 5 * 0.05
    assert min(done.latencies) >= 50


def test_unexpected_answers_are_failures_not_payments() -> None:
    async def refuse(_: bytes) -> bytes:
        return b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"

    done = generate(refuse, flows=3)
    assert (done.succeeded, done.latencies) == (0, [])
    assert done.failures == {"POST /v1/payments returned 429": 3}


def test_a_closed_connection_is_a_failure() -> None:
    async def close(_: bytes) -> bytes:
        return b""

    assert sum(generate(close, flows=3).failures.values()) == 1, "its client ends"


def test_the_steps_of_a_payment_follow_each_other() -> None:
    seen = []

    async def answer(request: bytes) -> bytes:
        seen.append(request.split(b" HTTP")[0].decode())
        body = json.dumps({"id": "pay_1"}).encode()
        status = b"200 OK" if seen[-1].endswith("/capture") else b"201 Created"
        return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)

    assert generate(answer, flow="capture_and_refund", flows=1).failures == {}
    assert seen == ["POST /v1/payments", "POST /v1/payments/pay_1/capture", "POST /v1/payments/pay_1/refunds"]


@pytest.mark.rehearsal
def test_the_generator_outruns_the_api_many_times(tmp_path: Path) -> None:
    """The bench itself demands five times what it has just measured; this is a floor on any machine."""
    stand = Stand(tmp_path, Options(block_seconds=1.0), Console(quiet=True))
    assert stand.null() > 200
