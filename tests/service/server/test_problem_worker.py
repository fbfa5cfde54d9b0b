"""Requests that gunicorn cannot parse get a problem, and nothing of them is repeated or logged."""

import http.client
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest
from gunicorn.http import errors
from psycopg.conninfo import conninfo_to_dict

from payments.server import problem_worker
from payments.server.problem_worker import ProblemWorker
from tests.service.conftest import ApiKey, Postgres
from tests.waiting import wait_until

_SERVICE = Path(__file__).parents[3] / "service"
_CARD = b"4111111111111111"


@dataclass
class Running:
    port: int
    log: Path

    def raw(self, request: bytes) -> tuple[str, dict[str, str], bytes]:
        """Status line, headers and body of whatever is answered to ``request``."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            _trusting().wrap_socket(plain) as found,
        ):
            found.sendall(request)
            received = b""
            while chunk := found.recv(65536):
                received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        return status, dict(line.split(": ", 1) for line in lines), body


def _trusting() -> ssl.SSLContext:
    """The certificate is the server's own; nobody vouches for it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def server(migrated: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`python -m payments api`, as the container runs it."""
    running = Running(_free_port(), tmp_path_factory.mktemp("api") / "log")
    names = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD"}
    database = {names[name]: str(value) for name, value in conninfo_to_dict(migrated.app).items() if name in names}
    environment = {**os.environ, **database, "BIND_HOST": "127.0.0.1", "PORT": str(running.port)}
    with running.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "payments", "api"], cwd=_SERVICE, env=environment, stdout=log, stderr=log
        )

    def is_listening() -> bool:
        assert process.poll() is None, running.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", running.port)) == 0

    try:
        wait_until(is_listening, "the api's port")
        yield running
    finally:
        process.terminate()
        process.wait(40)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + _CARD + b" 4111 1111 1111 1111 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + _CARD + b": (\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 70 + b"\r\n", 431),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    ],
    ids=["spaces", "method", "header name", "long header", "many headers", "long path", "coding"],
)
def test_unreadable_requests_are_problems(server: Running, request_: bytes, status: int) -> None:
    line, headers, body = server.raw(request_)
    assert line == f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    problem = json.loads(body)
    assert (problem["status"], headers["Content-Type"]) == (status, "application/problem+json")
    assert problem["request_id"] == headers["Request-Id"]
    assert headers["Strict-Transport-Security"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"] == "payments"
    assert _CARD not in body
    log = server.log.read_text()
    assert problem["request_id"] in log
    assert _CARD.decode() not in log
    assert "4111 1111" not in log


def test_the_server_continues_afterwards(server: Running) -> None:
    line, headers, body = server.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert line == "HTTP/1.1 200 OK"
    assert json.loads(body) == {"status": "ok"}
    assert headers["Server"] == "payments"


_POST = b"POST /v1/payments HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (_POST + b"Content-Length: 65537\r\n\r\n" + b" " * 65537, 401),
        (_POST + b"Content-Length: 99999999999\r\n\r\n", 401),
        (_POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n    \n\r\n0\r\n\r\n", 401),
    ],
    ids=["too large", "much too large", "length not known"],
)
def test_closing_is_announced(server: Running, request_: bytes, status: int) -> None:
    line, headers, _ = server.raw(request_)  # reads until the server closes
    assert (line.split()[1], headers["Connection"]) == (str(status), "close")


def test_a_usual_body_keeps_the_connection(server: Running) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=_trusting(), timeout=10)
    connection.request("POST", "/v1/payments", b" " * 60_000)
    refused = connection.getresponse()
    refused.read()
    assert (refused.status, refused.headers["Connection"]) == (401, "keep-alive")
    kept = connection.sock
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    assert connection.sock is kept
    connection.close()


def test_broken_framing_is_a_client_error(server: Running, key: ApiKey) -> None:
    headers = f"Authorization: Bearer {key.token}\r\nContent-Type: application/json\r\n".encode()
    chunked = b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n"
    line, answered, body = server.raw(_POST + headers + chunked)
    assert (line.split()[1], answered["Connection"]) == ("400", "close")
    assert json.loads(body)["code"] == "malformed_request"


def test_a_card_number_in_a_url_is_not_logged(server: Running) -> None:
    request = b"GET /v1/payments?reference=" + _CARD + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    line, _, body = server.raw(request)
    assert line.split()[1] == "400"
    assert json.loads(body)["code"] == "card_number_refused"
    assert _CARD.decode() not in server.log.read_text()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.LimitRequestLine(9000, 8190), 414),
        (errors.LimitRequestHeaders("too many"), 431),
        (errors.InvalidHeader("4111111111111111"), 400),
        (ssl.SSLError("4111111111111111"), 400),
        (RuntimeError("4111111111111111"), 500),
        (problem_worker._SERVER_ERRORS[0]("4111111111111111"), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_are_logged(error: Exception, status: int, caplog: pytest.LogCaptureFixture) -> None:
    worker = object.__new__(ProblemWorker)
    worker.log = logging.getLogger("payments.server")  # type: ignore[assignment]  # the methods that are used
    ours, theirs = socket.socketpair()
    with ours, theirs, caplog.at_level(logging.WARNING, "payments.server"):
        worker.handle_error(None, ours, None, error)
        received = theirs.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert _CARD not in received
    assert vars(caplog.records[0])["request_id"] == json.loads(body)["request_id"]
    if status < 500:
        assert _CARD.decode() not in caplog.text


def test_a_disconnected_client_is_not_an_error() -> None:
    worker = object.__new__(ProblemWorker)
    worker.log = logging.getLogger("payments.server")  # type: ignore[assignment]  # a plain logger will do
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()
    worker.handle_error(None, ours, None, errors.InvalidHeader("x"))
