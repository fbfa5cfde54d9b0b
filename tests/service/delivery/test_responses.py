"""Delivered means a whole response in time; whatever is less is retried, whatever the receiver sends instead."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from payments.delivery.sender import DeliveryResult, Sender
from tests.service.receivers import certificate, raw_receiver, reset, wait_for_close

Respond = Callable[[socket.socket], object]
#: Seconds that a sender waits here for a response.
_TIMEOUT = 0.4
_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


def _post(respond: Respond, *, seconds: float = _TIMEOUT) -> DeliveryResult:
    with raw_receiver(respond) as found:
        sender = Sender(allow_local=True, timeout=timedelta(seconds=seconds))
        return sender.post(found.url, headers={"webhook-id": "evt_1"}, body=b"{}")


def _then(*parts: bytes, end: Respond = wait_for_close) -> Respond:
    """Send `parts`, then `end`."""

    def respond(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
        end(connection)

    return respond


def _close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def _repeating(first: bytes, repeated: bytes, *, pause: float = 0.0) -> Respond:
    """Send `first`, then `repeated` for as long as the client listens."""

    def respond(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(repeated)
            time.sleep(pause)

    return respond


@pytest.mark.parametrize(
    "respond",
    [
        pytest.param(_then(_OK + b"Content-Length: 2\r\n\r\nok"), id="length, kept open"),
        pytest.param(_then(_OK + b"Content-Length: 0\r\n\r\n"), id="empty, kept open"),
        pytest.param(_then(_CHUNKED + b"2\r\nok\r\n0\r\n\r\n"), id="chunks, kept open"),
        pytest.param(_then(b"HTTP/1.1 204 No Content\r\n\r\n"), id="204, kept open"),
        pytest.param(_then(_OK + b"\r\nok", end=_close), id="until it is closed"),
        pytest.param(_then(b"HTTP/1.0 200 OK\r\n\r\n", end=_close), id="HTTP/1.0"),
        pytest.param(_then(_OK + b"Content-Length: 2\r\n\r\nok", end=reset), id="whole, then a reset"),
        pytest.param(
            _then(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + _OK
                  + b"Content-Length: 0\r\n\r\n"),
            id="after interim responses",
        ),
        pytest.param(
            _then(_OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"), id="not decoded"
        ),
        pytest.param(_then(*[bytes([byte]) for byte in _OK + b"Content-Length: 2\r\n\r\nok"]), id="byte by byte"),
        pytest.param(
            _then(_OK + b"Content-Length: 9999999\r\n\r\n", b"x" * 100_000), id="too much, then silence"
        ),
        pytest.param(_then(_OK + b"\r\n", b"x" * 100_000, end=reset), id="too much, then a reset"),
    ],
)  # fmt: skip
def test_a_whole_response_delivers(respond: Respond) -> None:
    result = _post(respond, seconds=20)
    assert (result.delivered, result.error) == (True, None)
    assert result.duration < timedelta(seconds=15), "it did not wait for the time-out"


_LATE, _EARLY, _NOT_HTTP = (
    f"No complete response within {_TIMEOUT:g} seconds.",
    "The response ended early.",
    "The response is not HTTP.",
)
_FAILED = "The connection failed."


@pytest.mark.parametrize(
    ("respond", "error"),
    [
        pytest.param(wait_for_close, _LATE, id="silence"),
        pytest.param(_repeating(_OK + b"X-Slow: ", b"x", pause=0.05), _LATE, id="headers drip"),
        pytest.param(_repeating(_OK + b"Content-Length: 9999\r\n\r\n", b"x", pause=0.05), _LATE, id="body drips"),
        pytest.param(_repeating(_OK + b"\r\n", b"x", pause=0.05), _LATE, id="endless body drips"),
        pytest.param(
            _repeating(_CHUNKED, b"1\r\nx\r\n", pause=0.05), _LATE, id="chunks drip"
        ),
        pytest.param(
            _repeating(_CHUNKED + b"0\r\nX: ", b"x", pause=0.05), _LATE, id="trailer drips"
        ),
        pytest.param(_then(_OK), _LATE, id="status, then silence"),
        pytest.param(_then(_OK + b"Content-Length: 4\r\n\r\nok"), _LATE, id="half a body, then silence"),
        pytest.param(_then(b"HTTP/1.1 100 Continue\r\n\r\n"), _LATE, id="interim, then silence"),
        pytest.param(_repeating(b"", b"HTTP/1.1 102 Processing\r\n\r\n", pause=0.05), _LATE, id="interim for ever"),
        pytest.param(_close, _FAILED, id="closed"),
        pytest.param(reset, _FAILED, id="reset"),
        pytest.param(_then(_OK, end=_close), _EARLY, id="status, then closed"),
        pytest.param(_then(_OK, end=reset), _EARLY, id="status, then a reset"),
        pytest.param(_then(_OK + b"Content-Length: 4\r\n\r\nok", end=_close), _EARLY, id="half a body, closed"),
        pytest.param(_then(_OK + b"Content-Length: 4\r\n\r\nok", end=reset), _EARLY, id="half a body, reset"),
        pytest.param(
            _then(_CHUNKED + b"4\r\nok", end=_close), _EARLY, id="half a chunk, closed"
        ),
        pytest.param(
            _then(_CHUNKED + b"2\r\nok\r\n", end=_close), _EARLY, id="no last chunk, closed"
        ),
        pytest.param(_then(b"HTTP/1.1 103 Early Hints\r\n\r\n", end=_close), _EARLY, id="interim, then closed"),
        pytest.param(_then(b"<h1>It works!</h1>\n", end=_close), _EARLY, id="HTTP/0.9"),
        pytest.param(_then(b"220 mail.example ESMTP\r\n\r\n"), _NOT_HTTP, id="SMTP"),
        pytest.param(_then(b"HTTP/1.1 2OO OK\r\n\r\n"), _NOT_HTTP, id="a status of letters"),
        pytest.param(_then(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), _NOT_HTTP, id="switches protocols"),
        pytest.param(
            _then(_OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"), _NOT_HTTP, id="two lengths"
        ),
        pytest.param(_then(_OK + b"Content-Length: -2\r\n\r\nok"), _NOT_HTTP, id="a negative length"),
        pytest.param(_then(_CHUNKED + b"-2\r\nok"), _NOT_HTTP, id="a negative chunk"),
        pytest.param(_repeating(_OK, b"X-Many: 1\r\n" * 1000), _NOT_HTTP, id="endless headers"),
        pytest.param(_repeating(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 99), _NOT_HTTP, id="a flood of interim"),
        pytest.param(_repeating(_OK + b"X-Long: ", b"x" * 10_000), _NOT_HTTP, id="an endless header"),
    ],
)  # fmt: skip
def test_less_is_a_failure(respond: Respond, error: str) -> None:
    result = _post(respond, seconds=_TIMEOUT if error == _LATE else 20)
    assert (result.delivered, result.status, result.error) == (False, None, error)


def test_a_refusal_needs_no_body() -> None:
    """It is known with its headers, so that nobody waits for the rest."""
    result = _post(_then(b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 9999\r\n\r\n"), seconds=20)
    assert (result.status, result.error, result.retry_after) == (503, None, timedelta(seconds=120))
    assert result.duration < timedelta(seconds=15)


@pytest.mark.parametrize("asked", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1.5", "soon", "\u0661"])
def test_other_retry_afters_are_ignored(asked: str) -> None:
    response = f"HTTP/1.1 503 Busy\r\nRetry-After: {asked}\r\nContent-Length: 0\r\n\r\n".encode()
    result = _post(_then(response), seconds=20)
    assert (result.status, result.retry_after) == (503, None)


# ---- TLS ------------------------------------------------------------------------------------------------------------
def _without_close_notify(connection: socket.socket) -> None:
    socket.socket(fileno=connection.detach()).close()


def _with_close_notify(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.unwrap()  # type: ignore[attr-defined]  # of an SSLSocket


@pytest.mark.parametrize(
    ("headers", "end", "delivered"),
    [
        pytest.param(b"\r\n", _with_close_notify, True, id="until it is closed"),
        pytest.param(b"\r\n", _without_close_notify, False, id="until it is cut off"),
        pytest.param(b"Content-Length: 2\r\n\r\n", _without_close_notify, True, id="length, then cut off"),
    ],
)
def test_tls_tells_an_end_from_a_cut(tmp_path: Path, headers: bytes, end: Respond, delivered: bool) -> None:
    """RFC 9112, 9.8: a response that ends with the connection is complete only after a closure alert."""
    server, client = certificate(tmp_path, "localhost")
    with raw_receiver(_then(_OK + headers + b"ok", end=end), tls=server) as found:
        sender = Sender(allow_local=True, tls=client, timeout=timedelta(seconds=10), resolve=lambda *_: ["127.0.0.1"])
        result = sender.post(f"https://localhost:{found.port}/hook", headers={}, body=b"{}")
    assert result.delivered is delivered, result


# ---- several addresses ----------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _unreachable(address: str, port: int) -> Iterator[None]:
    """Let connections to `address` hang: the queue of its listener is full, so that SYNs are dropped."""
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.bind((address, port))
    listener.listen(0)
    with contextlib.ExitStack() as stack:
        stack.callback(listener.close)
        for _ in range(4):
            filler = stack.enter_context(socket.socket(listener.family))
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield


def _to(*found: str) -> Sender:
    return Sender(allow_local=True, timeout=timedelta(seconds=10), resolve=lambda *_: list(found))


def test_a_closed_address_is_passed_over() -> None:
    with raw_receiver(_then(_OK + b"Content-Length: 0\r\n\r\n")) as found:
        result = _to("::1", "127.0.0.9", "127.0.0.1").post(f"http://localhost:{found.port}/", headers={}, body=b"{}")
    assert result.status == 200


def test_hanging_addresses_are_passed_over() -> None:
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(raw_receiver(_then(_OK + b"Content-Length: 0\r\n\r\n")))
        dead = [f"127.0.1.{number}" for number in range(1, 7)]
        for address in dead:
            stack.enter_context(_unreachable(address, found.port))
        result = _to(*dead, "127.0.0.1").post(f"http://localhost:{found.port}/", headers={}, body=b"{}")
    assert result.status == 200, result
    assert result.duration < timedelta(seconds=6), "they were tried side by side"


def test_an_address_that_resets_is_passed_over() -> None:
    with raw_receiver(_then(_OK + b"Content-Length: 0\r\n\r\n")) as found:
        with raw_receiver(reset, host="127.0.0.9", port=found.port) as broken:
            sender = _to("127.0.0.9", "127.0.0.1")
            result = sender.post(f"http://localhost:{found.port}/", headers={}, body=b"{}")
        assert (len(broken.requests), len(found.requests), result.status) == (1, 1, 200)


def test_an_address_that_answered_is_the_answer() -> None:
    """A response that began shows that the message arrived: it is not sent a second time at once."""
    with raw_receiver(_then(_OK + b"Content-Length: 0\r\n\r\n")) as found:
        with raw_receiver(_then(_OK, end=_close), host="127.0.0.9", port=found.port):
            sender = _to("127.0.0.9", "127.0.0.1")
            result = sender.post(f"http://localhost:{found.port}/", headers={}, body=b"{}")
        assert (result.error, found.requests) == (_EARLY, [])


def test_an_address_whose_handshake_fails_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments.delivery.sender.STEP_SECONDS", 1.0)
    server, client = certificate(tmp_path, "localhost")
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(raw_receiver(_then(_OK + b"Content-Length: 0\r\n\r\n"), tls=server))
        stack.enter_context(raw_receiver(_close, host="127.0.0.9", port=found.port))
        sender = Sender(allow_local=True, tls=client, resolve=lambda *_: ["127.0.0.9", "127.0.0.1"])
        result = sender.post(f"https://localhost:{found.port}/", headers={}, body=b"{}")
    assert result.status == 200, result


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_either_family_is_reached(host: str) -> None:
    with raw_receiver(_then(_OK + b"Content-Length: 0\r\n\r\n"), host=host) as found:
        result = _to("::1", "127.0.0.1").post(f"http://localhost:{found.port}/", headers={}, body=b"{}")
    assert result.status == 200, result


def test_the_deadline_covers_every_address() -> None:
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(raw_receiver(wait_for_close))
        stack.enter_context(_unreachable("127.0.1.1", found.port))
        sender = Sender(
            allow_local=True,
            timeout=timedelta(seconds=1),
            resolve=lambda *_: ["127.0.1.1", "127.0.0.1", "127.0.1.1"],
        )
        result = sender.post(f"http://localhost:{found.port}/", headers={}, body=b"{}")
    assert (result.status, result.error) == (None, "No complete response within 1 seconds.")
    assert result.duration < timedelta(seconds=3)
