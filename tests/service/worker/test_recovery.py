"""Attempts are settled side by side: one that hangs, or fails every time, holds up no other."""

import queue
import threading
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from payments.domain.operations import PROCESSOR_DEADLINE
from payments.domain.outcomes import Result
from payments.processors.base import Call
from payments.repositories import attempts
from payments.repositories.database import Database
from payments.services import execution
from payments.worker import recovery as pool
from payments.worker.recovery import RecoveryPool
from tests.service.api import Client, context_with, recover_due
from tests.service.fixtures import ApiKey, Postgres
from tests.service.scripted import APPROVED, UNKNOWN, Scripted, execute, look_up_now


@pytest.fixture
def processor() -> Scripted:
    return Scripted()


@pytest.fixture
def client(database: Database, key: ApiKey, processor: Scripted) -> Client:
    return Client(context_with(database, processor), key)


class Hanging(Scripted):
    """Does not response about some attempts until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.sick: set[str] = set()
        self.released = threading.Event()
        self.answered: queue.SimpleQueue[str] = queue.SimpleQueue()

    def look_up(self, call: Call) -> Result:
        if call.attempt_id in self.sick:
            assert self.released.wait(60)
            return UNKNOWN
        self.answered.put(call.attempt_id)
        return APPROVED


def attempt_ids(postgres: Postgres) -> set[str]:
    return {row[0] for row in execute(postgres, "SELECT id FROM attempts WHERE status = 'open'")}


def test_hanging_look_ups_do_not_delay_new_attempts(database: Database, key: ApiKey, postgres: Postgres) -> None:
    """The first look-up comes within five seconds, even while old ones hang until the deadline."""
    processor = Hanging()
    client = Client(context_with(database, processor), key)
    recoverer = RecoveryPool(client.context, processor.name, threads=4, reserved=2)
    try:
        for _ in range(8):
            client.create("pm")
        processor.sick = attempt_ids(postgres)
        execute(postgres, "UPDATE attempts SET looks = 9, next_look_at = now() - interval '1 hour'")
        assert recoverer.run()
        assert recoverer.run() is False, "old ones take only their share"
        assert execute(postgres, "SELECT count(*) FROM attempts WHERE generation > 1") == [(2,)]
        client.create("pm")
        (new,) = attempt_ids(postgres) - processor.sick
        execute(postgres, "UPDATE attempts SET next_look_at = now() WHERE id = %s", new)
        assert recoverer.run()
        assert processor.answered.get(timeout=30) == new, "while the others still hang"
    finally:
        processor.released.set()
        recoverer.close()
    assert processor.sick == attempt_ids(postgres), "what closing waited for is recorded"
    assert execute(postgres, "SELECT count(*) FROM attempts WHERE looks = 10") == [(2,)]


class Unavailable(Scripted):
    """Its circuit is open, or not."""

    available = False

    def is_available(self) -> bool:
        return self.available

    def look_up(self, call: Call) -> Result:
        super().look_up(call)
        return replace(APPROVED, reference=f"ref_{call.attempt_id}")


def test_old_attempts_wait_while_the_circuit_is_open(database: Database, key: ApiKey, postgres: Postgres) -> None:
    """What was asked in vain meanwhile would be asked again only long after the outage."""
    processor = Unavailable()
    processor.available = True
    client = Client(context_with(database, processor), key)
    old = [client.json(client.create("pm"))["id"] for _ in range(3)]
    execute(postgres, "UPDATE attempts SET looks = 2, next_look_at = now()")
    new = client.json(client.create("pm"))["id"]
    execute(postgres, "UPDATE attempts SET next_look_at = now()")
    processor.available = False
    recover_due(client.context)
    assert [call.payment_id for name, call in processor.calls if name == "look_up"] == [new]
    assert execute(postgres, "SELECT looks, generation FROM attempts WHERE status = 'open'") == [(2, 1)] * 3
    processor.available = True
    recover_due(client.context)
    assert {client.payment(each)["status"] for each in old} == {"succeeded"}


def test_no_more_is_claimed_than_requested_under_any_plan(
    client: Client, database: Database, postgres: Postgres
) -> None:
    """A locking subquery must run once: evaluated per row, it would lock other rows each time."""
    for _ in range(8):
        client.create("pm")
    execute(postgres, "UPDATE attempts SET next_look_at = now()")
    with database.transaction() as tx:
        for way in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "indexscan", "bitmapscan"):
            tx.execute(f"SET LOCAL enable_{way} = off")
        assert len(attempts.claim_due(tx, processor="scripted", early=True, limit=2)) == 2


def test_nothing_is_claimed_while_every_thread_hangs(database: Database, key: ApiKey, postgres: Postgres) -> None:
    """An attempt that is claimed and not started would waste its deadline."""
    processor = Hanging()
    client = Client(context_with(database, processor), key)
    recoverer = RecoveryPool(client.context, processor.name, threads=2, reserved=0)
    try:
        for _ in range(3):
            client.create("pm")
        processor.sick = attempt_ids(postgres)
        execute(postgres, "UPDATE attempts SET next_look_at = now()")
        assert recoverer.run()
        assert recoverer.run() is False
        assert execute(postgres, "SELECT count(*) FROM attempts WHERE generation > 1") == [(2,)]
    finally:
        processor.released.set()
        recoverer.close()


def test_an_attempt_that_always_fails_backs_off(client: Client, processor: Scripted, postgres: Postgres) -> None:
    poison = client.json(client.create("pm"))["id"]
    others = [client.json(client.create("pm"))["id"] for _ in range(3)]

    def look_up(call: Call) -> Result:
        if call.payment_id == poison:
            raise RuntimeError("a bug")
        return replace(APPROVED, reference=f"ref_{call.attempt_id}")

    processor.look_up = look_up  # type: ignore[method-assign]  # this test scripts it
    look_up_now(client, postgres)
    assert [client.payment(other)["status"] for other in others] == ["succeeded"] * 3
    assert client.payment(poison)["status"] == "processing"
    for _ in range(12):
        look_up_now(client, postgres)
    ((looks, reason, wait),) = execute(
        postgres, "SELECT looks, stuck_reason, next_look_at - now() FROM attempts WHERE status = 'open'"
    )
    assert (looks, reason) == (14, "failed: RuntimeError")
    assert wait > timedelta(minutes=1)


def test_an_attempt_claimed_by_another_is_not_rescheduled(database: Database, key: ApiKey, postgres: Postgres) -> None:
    processor = Scripted()
    client = Client(context_with(database, processor), key)
    client.create("pm")

    def look_up(call: Call) -> Result:
        execute(postgres, "UPDATE attempts SET generation = generation + 1")
        raise RuntimeError("a bug")

    processor.look_up = look_up  # type: ignore[method-assign]  # this test scripts it
    look_up_now(client, postgres)
    assert execute(postgres, "SELECT looks, stuck_reason FROM attempts") == [(1, None)]


def test_the_workers_deadline_is_never_after_the_databases(
    client: Client, processor: Scripted, monkeypatch: pytest.MonkeyPatch, postgres: Postgres
) -> None:
    """Its clock starts before the statement that sets the deadline, however long that takes."""
    client.create("pm")
    clock = [100.0]
    claim_due = attempts.claim_due

    def slow(*arguments: Any, **named: Any) -> Any:
        clock[0] += 3.0
        return claim_due(*arguments, **named)

    monkeypatch.setattr(attempts, "claim_due", slow)
    for module in (pool, execution):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    look_up_now(client, postgres)
    ((_, call),) = [made for made in processor.calls if made[0] == "look_up"]
    # Two statements were slow: one for new attempts, one for old.
    assert call.timeout == PROCESSOR_DEADLINE.total_seconds() - 6.0
