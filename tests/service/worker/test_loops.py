"""The worker's loops continue while there is work and after failures, and run on an empty database."""

import threading

import psycopg
import pytest

from payments.repositories.database import Database, DatabaseUnavailable
from payments.worker.loops import Loop, run_loop
from payments.worker.schedule import all_loops
from payments.worker.watchdog import Watchdog
from tests.service.api import sandbox_context


def test_a_loop_continues_while_there_is_work_and_after_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payments.worker.loops._AFTER_FAILURE", 0.0)
    stop = threading.Event()
    script: list[object] = [
        True,
        DatabaseUnavailable(),
        psycopg.OperationalError(),
        RuntimeError("a bug"),
        True,
        False,
    ]

    def work() -> bool:
        step = script.pop(0)
        if not script:
            stop.set()
        if isinstance(step, Exception):
            raise step
        return bool(step)

    watchdog = Watchdog(limit=-1.0)
    closed: list[list[str]] = []
    run_loop(Loop(name="test", interval=0.0, run=work, close=lambda: closed.append(watchdog.hanging())), stop, watchdog)
    assert script == [], "every round came"
    assert closed == [[]], "closed once, when it was no longer running"


def test_every_loop_runs_on_an_empty_database(database: Database, journal: Database) -> None:
    found = all_loops(sandbox_context(database, journal))
    names = [loop.name for loop in found]
    assert {
        "recovery_sandbox",
        "authorizations",
        "ledger_rollup",
        "ledger_sealer",
        "idempotency_keys",
        "backlog",
    } <= set(names)
    assert len(set(names)) == len(names)
    for loop in found:
        assert loop.run() is False, loop.name
        loop.close()
