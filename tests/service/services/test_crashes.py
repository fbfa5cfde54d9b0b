"""A process killed at any point leaves at most one charge, and key, payment and ledger agree."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from payments.repositories.database import Database
from payments.services import ledger_integrity
from tests.service.api import Client, recover_due, sandbox_context
from tests.service.fixtures import ApiKey, Postgres
from tests.service.services import victim


def killed(target: Callable[..., None], *arguments: object) -> int:
    """Run ``target`` in a fork, which starts in milliseconds and shares no connection; returns its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            target(*arguments)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to be killed, and its expected outcome."""

    #: ``None`` to create the payment itself.
    path: str | None
    body: dict[str, Any]
    capture_method: str = "automatic"
    kind: str
    status: int
    payment: str
    entries: int


PAYMENT = {"amount": 1000, "currency": "EUR", "payment_method": "tok_visa"}
REQUESTS = {
    "create": Request(path=None, body=PAYMENT, kind="payment", status=201, payment="succeeded", entries=2),
    "capture": Request(
        path="capture", body={}, capture_method="manual", kind="capture", status=200, payment="succeeded", entries=2
    ),
    "void": Request(
        path="void", body={}, capture_method="manual", kind="void", status=200, payment="canceled", entries=0
    ),
    "refund": Request(path="refunds", body={"amount": 250}, kind="refund", status=201, payment="succeeded", entries=3),
}


def execute(postgres: Postgres, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def let_time_pass(postgres: Postgres) -> None:
    """Expire all leases and deadlines."""
    execute(postgres, "UPDATE idempotency_keys SET lease_until = now() - interval '1 s'")
    execute(postgres, "UPDATE attempts SET next_look_at = now(), deadline_at = now() WHERE status = 'open'")


def assert_done_once(client: Client, postgres: Postgres, request: Request, path: str) -> None:
    """Assert that the processor did it once, and that the key has the final response."""
    done = execute(postgres, f"SELECT outcome FROM sandbox_journal WHERE kind = '{request.kind}'")
    assert done == [("approved",)]
    response = client.post(path, request.body, key="crash")
    assert response.status_code == request.status, response.text
    payments = client.json(client.get("/v1/payments"))["data"]
    assert [payment["status"] for payment in payments] == [request.payment]
    assert len(client.entries(payments[0]["id"])) == request.entries
    assert (payments[0]["pending_operation"], payments[0]["amount_refund_pending"]) == (None, 0)
    assert ledger_integrity.verify(client.context).problems == []


@pytest.mark.parametrize("point", victim.POINTS)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_an_api_process_is_killed(client: Client, postgres: Postgres, point: str, request_: Request) -> None:
    path = "/v1/payments"
    if request_.path:
        payment_id = client.json(client.create(capture_method=request_.capture_method))["id"]
        path = f"/v1/payments/{payment_id}/{request_.path}"
    assert killed(victim.request, postgres.app, client.key, point, path, request_.body) == victim.KILLED
    if point == "before Tx1 commits":
        # Nothing was started: the retry is the first execution.
        assert client.post(path, request_.body, key="crash").status_code == request_.status
        assert_done_once(client, postgres, request_, path)
        return
    if point != "after Tx2, before the response":
        held = client.post(path, request_.body, key="crash")
        assert (held.status_code, held.get_json()["code"]) == (409, "request_in_progress")
        assert 1 <= int(held.headers["Retry-After"]) <= 60
        let_time_pass(postgres)
        assert client.post(path, request_.body, key="crash").status_code == 202, "never a second execution"
        assert recover_due(client.context)
    assert_done_once(client, postgres, request_, path)


@pytest.mark.parametrize("point", victim.WORKER_POINTS)
def test_a_worker_process_is_killed(client: Client, postgres: Postgres, point: str) -> None:
    """The api dies before its call, and so does a worker; the next worker completes it."""
    request = REQUESTS["create"]
    code = killed(victim.request, postgres.app, client.key, "after Tx1, before the call", "/v1/payments", PAYMENT)
    assert code == victim.KILLED
    let_time_pass(postgres)
    assert killed(victim.work, postgres.app, point) == victim.KILLED
    let_time_pass(postgres)
    recover_due(client.context)
    assert_done_once(client, postgres, request, "/v1/payments")


@pytest.mark.parametrize("point", victim.GROUP_POINTS)
@pytest.mark.parametrize("kind", ["Tx1", "decision", "Tx2"])
def test_a_killed_group(client: Client, postgres: Postgres, kind: str, point: str) -> None:
    bodies = {f"crash-{number}": {**PAYMENT, "amount": 1000 + number} for number in range(3)}
    assert killed(victim.requests, postgres.app, client.key, kind, point, bodies) == victim.KILLED
    let_time_pass(postgres)
    recover_due(client.context)
    for name, body in bodies.items():
        response = client.post("/v1/payments", body, key=name)
        assert response.status_code == 201, response.text
        assert response.get_json()["amount"] == body["amount"]
    charged = execute(postgres, "SELECT amount FROM sandbox_journal WHERE outcome = 'approved' ORDER BY amount")
    assert charged == [(body["amount"],) for body in bodies.values()], "each once"
    assert ledger_integrity.verify(client.context).problems == []
