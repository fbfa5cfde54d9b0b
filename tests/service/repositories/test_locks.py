"""What is locked while somebody works on it, and what others find meanwhile: no deadlock, nothing twice, no waiting."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from werkzeug.test import TestResponse

from payments.domain.transitions import apply_result
from payments.repositories import (
    attempts,
    idempotency,
    inbox,
    ledger_integrity,
    sandbox_journal,
    settlement_lines,
    webhook_messages,
)
from payments.repositories.connection import Connection
from payments.repositories.database import Database
from payments.services import ledger_integrity as ledger_service
from payments.services.webhook_delivery import fan_out
from tests.service.api import Client, context_with, sandbox_context
from tests.service.fixtures import ApiKey, Postgres
from tests.service.scripted import Scripted, execute, make_attempts_due_at_once
from tests.service.seed import add_event
from tests.waiting import wait_until

_YEAR = timedelta(days=365)
_WAITING = "SELECT 1 FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> Client:
    make_attempts_due_at_once(monkeypatch)
    return Client(sandbox_context(database, journal), key)


@contextmanager
def recording(call: Callable[[], TestResponse]) -> Iterator[tuple[Future[TestResponse], list[object]]]:
    """Hold Tx2 of a call between its locks and its writes; yields its response, and each of its transactions."""
    transactions: list[object] = []
    locked, release = threading.Event(), threading.Event()

    def hold(*arguments: Any, **named: Any) -> object:  # Any: whatever the domain's function takes
        transactions.append(arguments)
        locked.set()
        release.wait()
        return apply_result(*arguments, **named)

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr("payments.services.execution.apply_result", hold)
        response = pool.submit(call)
        try:
            assert locked.wait(60)
            yield response, transactions
        finally:
            release.set()


@pytest.fixture(params=["create", "capture"])
def request_(request: pytest.FixtureRequest, client: Client) -> Callable[[], TestResponse]:
    """A request that can be repeated."""
    if request.param == "create":
        return partial(client.create, key="again")
    payment = client.json(client.create(capture_method="manual"))
    return partial(client.post, f"/v1/payments/{payment['id']}/capture", key="again")


def test_a_repetition_waits_without_a_deadlock(request_: Callable[[], TestResponse], postgres: Postgres) -> None:
    with ThreadPoolExecutor(1) as pool, recording(request_) as (first, transactions):
        again = pool.submit(request_)
        wait_until(lambda: execute(postgres, _WAITING), "the repetition to wait")
    assert (again.result().status_code, again.result().json) == (first.result().status_code, first.result().json)
    assert first.result().status_code < 300
    assert len(transactions) == 1, "no deadlock, after which the transaction is tried again"


def test_what_is_recorded_is_not_claimed(
    request_: Callable[[], TestResponse], client: Client, postgres: Postgres
) -> None:
    with recording(request_):
        assert execute(postgres, "SELECT 1 FROM attempts WHERE status = 'open' AND next_look_at < now()")
        with client.context.database.transaction() as tx:
            assert attempts.claim_due(tx, processor="sandbox", early=True, limit=10) == []


def test_a_locked_payment_delays_no_event(client: Client, postgres: Postgres) -> None:
    payment = client.json(client.create(capture_method="manual"))["id"]
    ((reference,),) = execute(postgres, "SELECT processor_reference FROM attempts")
    with (
        recording(lambda: client.post(f"/v1/payments/{payment}/capture")),
        client.context.database.transaction() as tx,
    ):
        attempts.look_up_soon(tx, processor="sandbox", livemode=False, reference=reference)


def test_the_sandbox_changes_a_charge_once_at_a_time(client: Client, journal: Database, postgres: Postgres) -> None:
    """Two refunds of all that is left would both be done otherwise."""
    client.json(client.create())
    ((reference,),) = execute(postgres, "SELECT processor_reference FROM attempts")
    with journal.transaction() as one, journal.transaction() as other:
        assert sandbox_journal.lock_charge(one, reference) is not None
        other.limit_lock_waits(1)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            sandbox_journal.lock_charge(other, reference)


def test_two_roll_ups_add_each_transfer_once(client: Client, database: Database, postgres: Postgres) -> None:
    client.json(client.create())
    with ThreadPoolExecutor(1) as pool, database.transaction() as tx:
        assert ledger_integrity.roll_up(tx, limit=100)
        again = pool.submit(ledger_service.roll_up, client.context)
        wait_until(lambda: execute(postgres, _WAITING), "the other to wait")
        tx.commit()
    assert not again.result(), "nothing is left to add"
    assert ledger_service.verify(client.context).problems == []


def test_settlement_reports_are_imported_one_at_a_time(database: Database) -> None:
    with database.transaction() as one, database.transaction() as other:
        settlement_lines.lock(one)
        other.limit_lock_waits(1)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            settlement_lines.lock(other)


# ---- queues ----------------------------------------
def _attempts(client: Client, postgres: Postgres) -> Callable[[Connection, int], int]:
    waiting = Client(context_with(client.context.database, Scripted()), client.key)  # for outcomes, which are unknown
    for _ in range(2):
        assert waiting.create().status_code == 202
    execute(postgres, "UPDATE attempts SET next_look_at = now()")
    return lambda tx, limit: len(attempts.claim_due(tx, processor="scripted", early=True, limit=limit))


def _expired_keys(client: Client, postgres: Postgres) -> Callable[[Connection, int], int]:
    for _ in range(2):
        client.json(client.create())
    execute(postgres, "UPDATE idempotency_keys SET expires_at = now()")
    return lambda tx, limit: idempotency.delete_expired(tx, limit=limit)


def _processor_events(client: Client, postgres: Postgres) -> Callable[[Connection, int], int]:
    with client.context.database.transaction() as tx:
        for event in ("e1", "e2"):
            inbox.insert(tx, processor="sandbox", event_id=event, livemode=False, event_type="t", references=["r"])
        tx.commit()
    return lambda tx, limit: len(inbox.claim_due(tx, processor="sandbox", limit=limit, lease=timedelta(0)))


def _old_processor_events(client: Client, postgres: Postgres) -> Callable[[Connection, int], int]:
    _processor_events(client, postgres)
    execute(
        postgres, "UPDATE processor_inbox SET state = 'followed', handled_at = now(), received_at = now() - %s", _YEAR
    )
    return lambda tx, limit: inbox.delete_old(tx, older_than=_YEAR / 2, limit=limit)


def _old_messages(client: Client, postgres: Postgres, changes: str) -> Callable[[Connection, int], int]:
    for number in range(2):
        client.json(
            client.post("/v1/webhook_endpoints", {"url": f"https://shop{number}.example/", "event_types": ["*"]})
        )
    add_event(postgres, client.key.merchant_id)
    fan_out(client.context)
    execute(postgres, f"UPDATE webhook_messages SET {changes}")
    return lambda tx, limit: webhook_messages.delete_old(tx, age=_YEAR / 2, limit=limit)


def _settled_messages(client: Client, postgres: Postgres) -> Callable[[Connection, int], int]:
    return _old_messages(client, postgres, "status = 'delivered', settled_at = now() - interval '1 year'")


def _held_messages(client: Client, postgres: Postgres) -> Callable[[Connection, int], int]:
    return _old_messages(client, postgres, "status = 'held', id = 'msg_00' || right(id, 24)")


@pytest.mark.parametrize(
    "prepare",
    [_attempts, _expired_keys, _processor_events, _old_processor_events, _settled_messages, _held_messages],
    ids=lambda prepare: prepare.__name__[1:],
)
def test_workers_pass_each_other(
    prepare: Callable[[Client, Postgres], Callable[[Connection, int], int]], client: Client, postgres: Postgres
) -> None:
    """Of two rows one worker takes one, and before it commits another gets the other without waiting."""
    take = prepare(client, postgres)
    with client.context.database.transaction() as one, client.context.database.transaction() as other:
        assert take(one, 1) == 1
        assert take(other, 10) == 1
