"""Load shedding: excess requests are rejected at once and have no effect."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest
from werkzeug.test import TestResponse

from payments.core.settings import Settings
from payments.domain.outcomes import Result
from payments.processors.base import Call
from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database
from tests.service.api import SETTINGS, Client, context_with
from tests.service.fixtures import ApiKey

_LIMIT = 2


class _Slow(SandboxProcessor):
    """A processor that responds on command."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, public_base_url="https://localhost:8443")
        self.called = threading.Semaphore(0)
        self.may_respond = threading.Event()

    def authorize(self, call: Call) -> Result:
        self.called.release()
        assert self.may_respond.wait(30)
        return super().authorize(call)


@pytest.fixture
def processor(journal: Database) -> Iterator[_Slow]:
    found = _Slow(journal)
    yield found
    found.may_respond.set()


@pytest.fixture
def client(database: Database, processor: _Slow, key: ApiKey) -> Client:
    return Client(context_with(database, processor), key, SETTINGS.model_copy(update={"max_in_flight": _LIMIT}))


@pytest.fixture
def in_flight(client: Client, processor: _Slow) -> Iterator[list[Future[TestResponse]]]:
    """As many payments as can be in flight, all waiting for the processor."""
    with ThreadPoolExecutor(_LIMIT) as threads:
        requests = [threads.submit(client.create) for _ in range(_LIMIT)]
        for _ in requests:
            assert processor.called.acquire(timeout=30)
        yield requests
        processor.may_respond.set()


def test_an_excess_request_gets_429_with_retry_after(client: Client, in_flight: list[Future[TestResponse]]) -> None:
    refused = client.create()
    assert (refused.status_code, refused.content_type) == (429, "application/problem+json")
    assert refused.get_json(force=True)["code"] == "too_many_requests"
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.headers["Strict-Transport-Security"]
    assert client.get("/v1/payments").status_code == 429, "reading is no exception"
    assert not any(request.done() for request in in_flight)


def test_what_needs_no_processor_is_served_while_it_hangs(database: Database, processor: _Slow, key: ApiKey) -> None:
    """Else one processor in difficulties would take reading, settings and its own webhooks from every merchant."""
    client = Client(context_with(database, processor), key, SETTINGS.model_copy(update={"max_in_flight": 8}))
    with ThreadPoolExecutor(8) as threads:
        requests = [threads.submit(client.create) for _ in range(6)]
        for _ in requests:
            assert processor.called.acquire(timeout=30)
        refused = threads.submit(client.create)
        done, _ = wait([refused], timeout=10)
        payment = Client.json(client.get("/v1/payments"))["data"][0]["id"]
        operations = [client.post(f"/v1/payments/{payment}/{name}") for name in ("capture", "void", "refunds")]
        hook = client.post("/v1/webhook_endpoints", {"url": "https://shop.example/"})
        processor.may_respond.set()
        assert done
        assert refused.result().status_code == 429
        assert [response.status_code for response in operations] == [429] * 3
        assert hook.status_code == 201
        assert {request.result().status_code for request in requests} == {201}


def test_health_checks_are_exempt(client: Client, in_flight: list[Future[TestResponse]]) -> None:
    assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    assert not any(request.done() for request in in_flight)


def test_readiness_checks_are_limited_apart(
    database: Database, processor: _Slow, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may send them, and each may wait for the database: they never hold the threads of health checks."""
    client = Client(context_with(database, processor), key)
    asked, may_answer = threading.Semaphore(0), threading.Event()

    def is_ready(_: Database) -> bool:
        asked.release()
        return may_answer.wait(30)

    monkeypatch.setattr(Database, "is_ready", is_ready)
    with ThreadPoolExecutor(9) as threads:
        waiting = [threads.submit(client.get, "/readyz") for _ in range(8)]
        for _ in waiting:
            assert asked.acquire(timeout=30)
        assert [client.get(path).status_code for path in ("/readyz", "/healthz")] == [429, 200]
        assert client.get("/v1/payments").status_code == 200
        may_answer.set()
        assert {response.result().status_code for response in waiting} == {200}


def test_a_rejected_request_has_no_effect(
    client: Client, processor: _Slow, in_flight: list[Future[TestResponse]]
) -> None:
    assert client.create(key="refused").status_code == 429
    processor.may_respond.set()
    assert [request.result().status_code for request in in_flight] == [201] * _LIMIT
    again = client.create(key="refused")
    assert again.status_code == 201
    assert "Idempotency-Replayed" not in again.headers
    assert len(Client.json(client.get("/v1/payments"))["data"]) == _LIMIT + 1


def test_a_failed_request_frees_its_slot(client: Client) -> None:
    for _ in range(_LIMIT + 1):
        assert client.create(amount=0).status_code == 422
        assert client.get("/v1/nothing").status_code == 404


def test_at_least_64_requests_are_served() -> None:
    assert Settings().max_in_flight >= 64
