"""Attempts are settled side by side: one that hangs, or fails every time, holds up no other."""

import queue
import threading
import time
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
from payments.services import execution, recovery
from payments.worker.recovery import RecoveryPool
from tests.service.api import Client, context_with
from tests.service.conftest import ApiKey, Postgres
from tests.service.scripted import APPROVED, UNKNOWN, Scripted, execute, look


@pytest.fixture
def processor() -> Scripted:
    return Scripted()


@pytest.fixture
def client(database: Database, key: ApiKey, processor: Scripted) -> Client:
    return Client(context_with(database, processor), key)


class Hanging(Scripted):
    """Does not answer about some attempts until it is released."""

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


def test_many_look_ups_that_hang_keep_a_new_one_waiting_no_more_than_any_other(
    database: Database, key: ApiKey, postgres: Postgres
) -> None:
    """The first look-up comes within five seconds, also while a processor lets old ones hang until the deadline."""
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


def test_no_more_is_taken_than_asked_for_whatever_plan_the_database_makes(
    client: Client, database: Database, postgres: Postgres
) -> None:
    """A subquery that locks must run once: run again for every row, it locks the next ones each time."""
    for _ in range(8):
        client.create("pm")
    execute(postgres, "UPDATE attempts SET next_look_at = now()")
    with database.transaction() as tx:
        for way in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "indexscan", "bitmapscan"):
            tx.execute(f"SET LOCAL enable_{way} = off")
        assert len(attempts.claim_due(tx, processor="scripted", early=True, limit=2)) == 2


def test_while_every_thread_hangs_nothing_more_is_taken(database: Database, key: ApiKey, postgres: Postgres) -> None:
    """Taken and not begun, an attempt would lose its deadline for nothing."""
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


def test_an_attempt_that_fails_every_time_backs_off_and_harms_no_other(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    poison = client.json(client.create("pm"))["id"]
    others = [client.json(client.create("pm"))["id"] for _ in range(3)]

    def look_up(call: Call) -> Result:
        if call.payment_id == poison:
            raise RuntimeError("a mistake of ours")
        return replace(APPROVED, reference=f"ref_{call.attempt_id}")

    processor.look_up = look_up  # type: ignore[method-assign]
    look(client, postgres)
    assert [client.payment(other)["status"] for other in others] == ["succeeded"] * 3
    assert client.payment(poison)["status"] == "processing"
    for _ in range(12):
        look(client, postgres)
    ((looks, reason, wait),) = execute(
        postgres, "SELECT looks, stuck_reason, next_look_at - now() FROM attempts WHERE status = 'open'"
    )
    assert (looks, reason) == (14, "failed: RuntimeError")
    assert wait > timedelta(minutes=14)


def test_an_attempt_that_somebody_else_took_is_not_put_off(database: Database, key: ApiKey, postgres: Postgres) -> None:
    processor = Scripted()
    client = Client(context_with(database, processor), key)
    client.create("pm")

    def look_up(call: Call) -> Result:
        execute(postgres, "UPDATE attempts SET generation = generation + 1")
        raise RuntimeError("a mistake of ours")

    processor.look_up = look_up  # type: ignore[method-assign]
    look(client, postgres)
    assert execute(postgres, "SELECT looks, stuck_reason FROM attempts") == [(1, None)]


def test_the_workers_deadline_is_never_later_than_the_databases(
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
    for module in (recovery, execution):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=time.sleep))
    look(client, postgres)
    ((_, call),) = [made for made in processor.calls if made[0] == "look_up"]
    # Two statements were slow: one for new attempts, one for old.
    assert call.timeout == PROCESSOR_DEADLINE.total_seconds() - 6.0
