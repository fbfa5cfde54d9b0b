"""Whatever one client does at the api's own port, others are served; and no request can be read in two ways."""

import contextlib
import itertools
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.proof.attacked_api import PROMPT, Api, attacked, held
from tests.proof.http_shapes import CANARY, SHAPES, Shape
from tests.proof.wire import Answer, Wire
from tests.service.fixtures import Postgres, make_key
from tests.waiting import wait_until

#: On one worker, beside those that work: they mostly wait for deadlines.
pytestmark = [pytest.mark.rehearsal, pytest.mark.takes_minutes, pytest.mark.xdist_group("abuse")]

_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
_CLOSING = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
_BODY = b"POST /v1/payments HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
_SERIAL = itertools.count()


@pytest.fixture(scope="module")
def api(migrated: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("abuse")
    with attacked(migrated, make_key(migrated, "mer_abuse"), folder) as running:
        yield running
    migrated.empty()


def serial() -> str:
    return f"abuse-{next(_SERIAL)}"


def assert_problem(answer: Answer, status: int) -> None:
    assert answer.status == status
    problem = json.loads(answer.body)
    assert (problem["status"], answer.headers["content-type"]) == (status, "application/problem+json")
    assert problem["request_id"] == answer.headers["request-id"]
    assert CANARY not in answer.body


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_framing(api: Api, shape: Shape) -> None:
    """RFC 9112's answer, as a problem; the connection goes on exactly if what follows cannot be mistaken."""
    with Wire(api.port) as wire:
        with contextlib.suppress(OSError):  # the server may have closed before all was sent
            wire.send(shape.data)
        answer = wire.answer()
        assert answer is not None
        if shape.status >= 400:
            assert_problem(answer, shape.status)
        assert answer.status == shape.status
        assert answer.headers["server"] == "payments"
        assert answer.headers["strict-transport-security"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["connection"] == ("close" if shape.closes else "keep-alive")
        if shape.closes:
            with contextlib.suppress(OSError):
                wire.send(_HEALTH)
            assert wire.answer() is None, "what follows is not read as a request"
        else:
            wire.send(_HEALTH)
            following = wire.answer()
            assert following is not None
            assert (following.status, following.body) == (200, b'{"status":"ok"}')


def test_no_refusal_is_logged_with_what_was_sent(api: Api) -> None:
    refused = api.answer(next(shape.data for shape in SHAPES if shape.name == "name_invalid"))
    log = api.started.log.read_text()
    assert refused.headers["request-id"] in log
    assert CANARY.decode() not in log


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if len(shape.data) < 300], ids=lambda shape: shape.name)
def test_framing_byte_by_byte(api: Api, shape: Shape) -> None:
    """How a request is cut into segments changes nothing; a method that is not known may be refused as no method."""
    with Wire(api.port) as wire, contextlib.suppress(OSError):
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(shape.data)):
            wire.send(shape.data[position : position + 1])
        answer = wire.answer()
        assert answer is not None
        assert answer.status in ({400, 501} if shape.status == 501 else {shape.status})


def idle(port: int) -> Wire:
    return Wire(port)


def half_open(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def half_hello(port: int) -> socket.socket:
    opened = half_open(port)
    opened.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    return opened


def sending(data: bytes, *, answers: int = 0) -> Callable[[int], Wire]:
    """Hold a connection on which `data` was sent and `answers` were read."""

    def hold(port: int) -> Wire:
        wire = Wire(port)
        wire.send(data)
        for _ in range(answers):
            wire.answer()
        return wire

    return hold


@pytest.mark.parametrize(
    ("count", "hold"),
    [
        (300, half_open),
        (200, half_hello),
        (300, idle),
        (300, sending(_HEALTH, answers=1)),
        (300, sending(b"GET /healthz HTTP/1.1\r\nHost: a\r\nA")),
        (300, sending(_BODY)),
        (300, sending(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")),
        (300, sending(_BODY.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")[:-1])),
        (200, sending(_CLOSING, answers=1)),
        (200, sending(b"GET / HTTP/1.1\r\n\r\n", answers=1)),
        (50, sending(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 8)),
    ],
    ids=[
        "half-open",
        "half a hello",
        "idle",
        "idle after an answer",
        "half a head",
        "half a body",
        "half a chunked body",
        "expecting 100",
        "not closing",
        "not closing, refused",
        "not reading",
    ],
)
def test_others_are_served_during(api: Api, count: int, hold: Callable[[int], object]) -> None:
    before = api.memory()
    with held(count, lambda: hold(api.port)) as taken:  # type: ignore[arg-type, return-value]  # sockets and wires
        assert taken > count * 0.9
        for _ in range(3):
            api.assert_serves(serial())
        assert api.memory() - before < 80, "MiB"


def test_slots_are_taken_by_complete_requests_only(migrated: Postgres, tmp_path: Path) -> None:
    key = make_key(migrated, "mer_abuse")
    with (
        attacked(migrated, key, tmp_path, MAX_IN_FLIGHT="2") as api,
        held(40, lambda: sending(_BODY)(api.port)),
    ):
        api.assert_serves(serial())


@pytest.mark.parametrize(
    ("sent", "drip", "seconds", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"A", 3, 408),
        (b"\r\n", b"\r\n", 3, 408),
        (_BODY, b" ", 5, 408),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", 5, 408),
        (_HEALTH, b"", 6, 200),
        (b"", b"", 6, None),
    ],
    ids=["head", "empty lines", "body", "chunks", "keep-alive", "nothing"],
)
def test_deadlines_count_from_the_first_byte(
    api: Api, sent: bytes, drip: bytes, seconds: float, status: int | None
) -> None:
    """A byte now and then does not move them. What was not asked for is not answered."""
    with Wire(api.port) as wire:
        begun = time.monotonic()
        wire.send(sent)
        wire.socket.settimeout(0.4)
        ended = False
        while not ended:
            assert time.monotonic() - begun < seconds + PROMPT
            with contextlib.suppress(TimeoutError):
                ended = not wire.receive()
            with contextlib.suppress(OSError):
                wire.send(drip)
        assert time.monotonic() - begun >= seconds - 0.1
        answer = wire.answer()
        assert (answer and answer.status) == status
        if answer is not None and status == 408:
            assert_problem(answer, 408)
            assert answer.headers["connection"] == "close"


def test_a_handshake_has_a_deadline(api: Api) -> None:
    with half_hello(api.port) as opened:
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            assert opened.recv(1) == b""
        assert 3.9 < time.monotonic() - begun < 4 + PROMPT


def test_an_answer_has_a_deadline(api: Api) -> None:
    """A client that asks and does not read fills no memory: it is not served beyond what fits, and then cut off."""
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
    with Wire(api.port) as wire:
        served = api.started.log.read_text().count("/openapi.json")
        wire.socket.settimeout(1)
        with contextlib.suppress(OSError):
            for _ in range(1000):
                wire.send(ask * 10)
        descriptors = api.descriptors()
        wait_until(lambda: api.descriptors() < descriptors, "the end of the connection")
        assert api.started.log.read_text().count("/openapi.json") - served < 200
    api.assert_serves(serial())


def test_more_connections_than_places(api: Api) -> None:
    """Beyond the limit of its address a client makes room among its own; the newest are served."""
    before = api.memory()
    with held(1200, lambda: idle(api.port)) as taken:
        assert taken > 1000
        for _ in range(3):
            api.assert_serves(serial())
        assert api.descriptors() < 700
        assert api.memory() - before < 80, "MiB"


def test_a_request_in_progress_is_never_cut_off(migrated: Postgres, api: Api) -> None:
    with psycopg.connect(migrated.superuser) as holder, Wire(api.port) as wire:
        holder.execute("LOCK TABLE payments IN SHARE MODE")  # the payment waits
        wire.send(api.payment(serial()))
        with held(700, lambda: idle(api.port)):
            holder.rollback()
            answer = wire.answer()
        assert answer is not None
        assert answer.status in (201, 202)


def test_few_descriptors(migrated: Postgres, tmp_path: Path) -> None:
    """At the limit of the operating system the process neither spins nor dies."""
    key = make_key(migrated, "mer_abuse")
    with attacked(migrated, key, tmp_path, descriptors=160) as api, held(400, lambda: half_open(api.port)):
        for _ in range(3):
            api.assert_serves(serial())
        used = api.cpu_seconds()
        time.sleep(2)  # what is measured is what happens in it
        assert api.cpu_seconds() - used < 1
        assert "Traceback" not in api.started.log.read_text()


def test_a_payment_outlives_its_connection(migrated: Postgres, api: Api) -> None:
    request = api.payment(serial())
    with psycopg.connect(migrated.superuser) as holder:
        holder.execute("LOCK TABLE payments IN SHARE MODE")
        with Wire(api.port) as wire:
            wire.send(request)
            wait_until(lambda: _is_blocked(migrated), "the payment")
        holder.rollback()
    replayed = wait_until(lambda: _replayed(api, request), "the payment's answer")
    assert replayed is not None
    assert replayed.status == 201
    assert json.loads(replayed.body)["status"] == "succeeded"


def _is_blocked(postgres: Postgres) -> bool:
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return connection.execute(query).fetchone() is not None


def _replayed(api: Api, request: bytes) -> Answer | None:
    answer = api.answer(request)
    return answer if "idempotency-replayed" in answer.headers else None


def test_pipelined_requests_are_answered_in_order(api: Api) -> None:
    paths = ["/healthz", "/v1/payments", "/v1/nothing", "/healthz"]
    with Wire(api.port) as wire:
        wire.send(b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths))
        answers = [wire.answer() for _ in paths]
    assert [answer and answer.status for answer in answers] == [200, 401, 404, 200]


def test_a_long_pipeline_is_cut_with_notice(api: Api) -> None:
    with Wire(api.port) as wire:
        wire.send(_HEALTH * 100)
        answers = []
        while (answer := wire.answer()) is not None:
            answers.append(answer)
    assert {answer.status for answer in answers} == {200}
    assert 16 <= len(answers) <= 100
    if len(answers) < 100:
        assert [answer.headers["connection"] for answer in answers] == ["keep-alive"] * (len(answers) - 1) + ["close"]


def test_what_follows_a_refused_request_is_not_served(api: Api) -> None:
    """The payment in the body of an ambiguous request is not smuggled past whoever read it as a body."""
    smuggled = api.payment(serial())
    ambiguous = b"POST /v1/payments HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Wire(api.port) as wire:
        wire.send(ambiguous + b"0\r\n\r\n" + smuggled)
        answer = wire.answer()
        assert answer is not None
        assert_problem(answer, 400)
        assert wire.answer() is None
    assert "idempotency-replayed" not in api.answer(smuggled).headers


def test_continue_is_sent_before_the_body(api: Api) -> None:
    with Wire(api.port) as wire:
        wire.send(b"POST /v1/payments HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
        assert wire.line() == b"HTTP/1.1 100 Continue"
        wire.send(b"{}")
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 401
    refused = api.answer(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999\r\n\r\n")
    assert refused.status == 413


def test_responses_to_head_have_no_body(api: Api) -> None:
    with Wire(api.port) as wire:
        wire.send(_HEALTH.replace(b"GET", b"HEAD"))
        answer = wire.answer(head_only=True)
        assert answer is not None
        assert (answer.status, answer.headers["content-length"]) == (200, "15")
        wire.send(_HEALTH)
        following = wire.answer()
        assert following is not None
        assert following.status == 200


def test_an_early_refusal_arrives_though_the_client_still_sends(api: Api) -> None:
    """Closing at once would reset the connection, and take the answer with it (RFC 9112, section 9.6)."""
    with Wire(api.port) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(10):
            wire.send(b" " * 100_000)
        answer = wire.answer()
    assert answer is not None
    assert_problem(answer, 413)


def test_noise(api: Api) -> None:
    """Random changes of valid requests: an answer that a client may get, or the end; then business as usual."""
    generator = random.Random(20261128)
    valid = [shape.data for shape in SHAPES if not shape.closes and len(shape.data) < 1000]

    def attack(data: bytes) -> int | None:
        with contextlib.suppress(OSError), Wire(api.port) as wire:
            wire.send(data)
            wire.socket.shutdown(socket.SHUT_WR)
            answer = wire.answer()
            return answer.status if answer else None
        return None

    def mutated() -> bytes:
        data = bytearray(generator.choice(valid))
        for _ in range(generator.randint(1, 4)):
            position = generator.randrange(len(data))
            data[position : position + generator.randint(0, 3)] = generator.randbytes(generator.randint(0, 3))
        return bytes(data)

    before = len(api.started.log.read_text())
    with ThreadPoolExecutor(8) as threads:
        statuses = set(threads.map(attack, [mutated() for _ in range(400)]))
    assert statuses <= {None, 200, 204, 400, 401, 404, 405, 408, 413, 414, 415, 417, 431, 501, 505}
    assert "Traceback" not in api.started.log.read_text()[before:]
    api.assert_serves(serial())


def test_a_stop_waits_for_no_idle_client(migrated: Postgres, tmp_path: Path) -> None:
    with attacked(migrated, make_key(migrated, "mer_abuse"), tmp_path) as api, contextlib.ExitStack() as stack:
        stack.enter_context(held(20, lambda: idle(api.port)))
        stack.enter_context(held(20, lambda: half_open(api.port)))
        stack.enter_context(held(20, lambda: sending(_CLOSING)(api.port)))
        waiting, slow = stack.enter_context(Wire(api.port)), stack.enter_context(Wire(api.port))
        slow.send(_BODY)
        api.started.process.terminate()
        assert not waiting.receive(), "an idle connection ends at once"
        slow.send(b" " * 49)
        answer = slow.answer()
        assert answer is not None, "a request that was arriving is answered"
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert api.started.process.wait(PROMPT) == 0
