"""At most one execution per Idempotency-Key, and the same response for every retry."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from payments.core.problems import IdempotencyKeyInvalid, IdempotencyKeyMissing
from payments.domain.outcomes import Result
from payments.processors.base import Call
from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database
from payments.services.housekeeping import delete_expired_keys
from payments.services.idempotency import seconds_until_retry
from payments.web.http.idempotency import read_key
from tests.service.api import Client, context_with, sandbox_context
from tests.service.fixtures import ApiKey, Postgres, make_key


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def count(postgres: Postgres, table: str) -> int:
    with psycopg.connect(postgres.superuser) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_concurrent_requests_execute_once(client: Client, postgres: Postgres) -> None:
    with ThreadPoolExecutor(24) as threads:
        responses = list(threads.map(lambda _: client.create(key="same"), range(24)))
    statuses = {response.status_code for response in responses}
    assert statuses <= {201, 409}
    bodies = {response.data for response in responses if response.status_code == 201}
    assert len(bodies) == 1
    assert (count(postgres, "payments"), count(postgres, "sandbox_journal"), count(postgres, "ledger_transfers")) == (
        1,
        1,
        2,
    )
    refused = [response for response in responses if response.status_code == 409]
    assert all(response.get_json()["code"] == "request_in_progress" for response in refused)
    assert all(1 <= int(response.headers["Retry-After"]) <= 60 for response in refused)


@pytest.mark.parametrize(
    ("lease_left", "seconds"), [(60, 1), (59.9, 1), (58.2, 2), (50, 10), (30, 30), (7.5, 8), (0.1, 1)]
)
def test_retry_after_is_the_elapsed_time_again(lease_left: float, seconds: int) -> None:
    assert seconds_until_retry(lease_left) == seconds


def test_concurrent_refunds_never_exceed_the_capture(client: Client) -> None:
    payment_id = client.json(client.create(amount=1000))["id"]
    path = f"/v1/payments/{payment_id}/refunds"
    with ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(lambda _: client.post(path, {"amount": 300}).status_code, range(16)))
    assert statuses.count(201) == 3
    assert set(statuses) == {201, 422}
    assert client.payment(payment_id)["amount_refunded"] == 900


def test_concurrent_captures_capture_once(client: Client, postgres: Postgres) -> None:
    payment_id = client.json(client.create(capture_method="manual"))["id"]
    path = f"/v1/payments/{payment_id}/capture"
    with ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(lambda _: client.post(path).status_code, range(16)))
    assert statuses.count(200) == 1
    assert set(statuses) == {200, 409}
    assert client.payment(payment_id)["amount_captured"] == 1000
    assert count(postgres, "ledger_transfers") == 2


def test_a_different_request_with_the_same_key_is_rejected(client: Client) -> None:
    client.create(amount=1000, key="same")
    response = client.create(amount=1001, key="same")
    assert (response.status_code, response.get_json()["code"]) == (422, "idempotency_mismatch")


def test_the_fingerprint_includes_the_path(client: Client) -> None:
    first, second = (client.json(client.create(capture_method="manual"))["id"] for _ in range(2))
    client.json(client.post(f"/v1/payments/{first}/capture", key="same"))
    assert client.post(f"/v1/payments/{second}/capture", key="same").status_code == 422


def test_the_fingerprint_excludes_defaults(client: Client) -> None:
    client.create(key="same")
    assert client.create(key="same", capture_method="automatic").status_code == 422


def test_the_fingerprint_ignores_order_and_whitespace(client: Client) -> None:
    headers = {**client.key.headers, "Idempotency-Key": "same", "Content-Type": "application/json"}
    texts = [
        '{"amount":5,"currency":"EUR","payment_method":"tok_visa"}',
        '{ "payment_method": "tok_visa", "currency": "EUR", "amount": 5 }',
    ]
    first, second = (client.http().post("/v1/payments", data=text, headers=headers) for text in texts)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert first.data == second.data


def test_a_key_belongs_to_one_merchant_and_mode(client: Client, postgres: Postgres) -> None:
    others = [make_key(postgres, "mer_bob"), make_key(postgres, client.key.merchant_id, livemode=True)]
    mine = client.json(client.create(key="same"))["id"]
    for other in others:
        theirs = Client(client.context, other).create(key="same")
        assert (theirs.status_code, theirs.get_json()["id"] == mine) == (201, False)


def test_rotating_the_api_key_keeps_replays(client: Client, postgres: Postgres) -> None:
    first = client.create(key="same")
    rotated = Client(client.context, make_key(postgres, client.key.merchant_id))
    assert rotated.create(key="same").data == first.data


def test_scopes_are_checked_again_on_replay(client: Client, postgres: Postgres) -> None:
    client.create(key="same")
    reader = make_key(postgres, client.key.merchant_id, scopes=frozenset())
    assert Client(client.context, reader).create(key="same").status_code == 403


def test_quoted_and_bare_forms_are_one_key(client: Client) -> None:
    first = client.create(key='"same"')
    assert client.create(key="same").data == first.data


def test_final_responses_are_kept_for_72_hours(client: Client, postgres: Postgres) -> None:
    first = client.json(client.create(key="same"))["id"]
    client.create("tok_lost_approved", key="open")
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        row = connection.execute("SELECT min(expires_at) - min(created_at) FROM idempotency_keys").fetchone()
        assert row is not None
        assert round(row[0].total_seconds() / 3600) == 72
        connection.execute(
            "UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE expires_at IS NOT NULL"
        )
        assert client.json(client.create(key="same"))["id"] != first, "an expired response no longer counts"
        connection.execute(
            "UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE expires_at IS NOT NULL"
        )
    assert delete_expired_keys(client.context)
    assert count(postgres, "idempotency_keys") == 1, "an unresolved key does not expire"


def test_rejected_requests_are_not_stored(client: Client, postgres: Postgres) -> None:
    assert client.create(amount=0, key="same").status_code == 422
    assert client.create("tok_unheard_of", key="same").status_code == 422
    assert client.post("/v1/payments/pay_01jcx5v8g7f2k9w3q4r5s6t7v8/capture", key="same").status_code == 404
    assert count(postgres, "idempotency_keys") == 0
    assert client.create(key="same").status_code == 201


class Unavailable(SandboxProcessor):
    """A sandbox whose circuit breaker is open."""

    def is_available(self) -> bool:
        return False


def test_an_open_breaker_rejects_before_anything_is_written(
    client: Client, journal: Database, postgres: Postgres
) -> None:
    done = client.create(key="done")
    closed = Client(
        context_with(client.context.database, Unavailable(journal, public_base_url="https://x")), client.key
    )
    response = closed.create(key="new")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert (count(postgres, "payments"), count(postgres, "idempotency_keys")) == (1, 1)
    assert closed.create(key="done").data == done.data, "a replay needs no processor"


class Slow(SandboxProcessor):
    """A sandbox that waits for permission to respond."""

    def __init__(self, journal: Database) -> None:
        super().__init__(journal, public_base_url="https://x")
        self.called = threading.Event()
        self.go = threading.Event()

    def authorize(self, call: Call) -> Result:
        self.called.set()
        assert self.go.wait(10)
        return super().authorize(call)


def test_no_transaction_is_open_during_a_processor_call(
    database: Database, journal: Database, key: ApiKey, postgres: Postgres
) -> None:
    slow = Slow(journal)
    client = Client(context_with(database, slow), key)
    with ThreadPoolExecutor(1) as thread:
        response = thread.submit(client.create, key="same")
        assert slow.called.wait(10)
        assert client.create(key="same").status_code == 409
        with psycopg.connect(postgres.superuser) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'payments_service' AND state LIKE 'idle in%'"
            ).fetchone()
        slow.go.set()
        assert response.result().status_code == 201
    assert row == (0,)


def test_a_lost_attempt_records_nothing(database: Database, journal: Database, key: ApiKey, postgres: Postgres) -> None:
    """The worker claimed and settled it while the api was still waiting for the processor."""
    slow = Slow(journal)
    client = Client(context_with(database, slow), key)
    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(client.create, key="same")
        assert slow.called.wait(10)
        with psycopg.connect(postgres.superuser, autocommit=True) as connection:
            connection.execute("UPDATE attempts SET generation = generation + 1")
        slow.go.set()
        response = late.result()
    assert (response.status_code, response.get_json()["status"]) == (202, "processing")
    assert (count(postgres, "ledger_transfers"), count(postgres, "events")) == (0, 0)


@pytest.mark.parametrize(
    ("header", "key"),
    [("a", "a"), (' "a b" ', "a b"), (r'"a\"b\\"', 'a"b\\'), ("x" * 255, "x" * 255), ('"a,b"', "a,b")],
)
def test_keys(header: str, key: str) -> None:
    assert read_key(header) == key


@pytest.mark.parametrize("header", ["", '""', "a b", "a,b", "a,a", "x" * 256, '"a', "ä", "a\x7f", 'a"b'])
def test_rejects_ambiguous_keys(header: str) -> None:
    with pytest.raises(IdempotencyKeyInvalid):
        read_key(header)


def test_requires_a_key() -> None:
    with pytest.raises(IdempotencyKeyMissing):
        read_key(None)
