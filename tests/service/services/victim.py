"""A process that makes requests, or one round of the worker, and dies at a given point as if killed."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from payments.processors.sandbox import SandboxProcessor
from payments.repositories import attempts, payment_creation
from payments.repositories.connection import Connection
from payments.repositories.database import Database
from payments.services import execution, recovery
from payments.services import payments as use_cases
from tests.service.api import Client, recover_due, sandbox_context
from tests.service.fixtures import ApiKey
from tests.service.grouping import together

KILLED = 9


def _die_before(owner: object, name: str) -> None:
    def die(*_: object, **__: object) -> None:
        os._exit(KILLED)

    setattr(owner, name, die)


def _die_after(owner: object, name: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def die(*args: object, **kwargs: object) -> None:
        original(*args, **kwargs)
        os._exit(KILLED)

    setattr(owner, name, die)


def _die_in_tx1() -> None:
    for owner in (payment_creation, attempts):  # of a new payment, and of an operation on one
        _die_after(owner, "insert")


#: Every place between two durable steps.
POINTS: dict[str, Callable[[], None]] = {
    "before Tx1 commits": _die_in_tx1,
    "after Tx1, before the call": lambda: _die_before(use_cases, "execute"),
    "after the call, before Tx2": lambda: _die_after(SandboxProcessor, "_decide"),
    "before Tx2 commits": lambda: _die_after(execution, "_save_attempt"),
    "after Tx2, before the response": lambda: _die_before(execution, "_count"),
}
WORKER_POINTS: dict[str, Callable[[], None]] = {
    "after the claim": lambda: _die_before(recovery, "settle_claimed"),
    "after looking up": lambda: _die_after(SandboxProcessor, "look_up"),
    "after sending again": lambda: _die_after(SandboxProcessor, "_decide"),
    "before Tx2 commits": lambda: _die_after(execution, "_save_attempt"),
    "after Tx2": lambda: _die_before(execution, "_count"),
}


def request(conninfo: str, key: ApiKey, point: str, path: str, body: dict[str, Any]) -> None:
    """POST ``body`` to ``path`` with the Idempotency-Key ``crash``, and die at ``point``."""
    client = Client(sandbox_context(Database(conninfo, size=2), Database(conninfo, size=2)), key)
    POINTS[point]()
    client.post(path, body, key="crash")
    os._exit(0)


def work(conninfo: str, point: str) -> None:
    """Run one round of the worker, and die at ``point``."""
    context = sandbox_context(Database(conninfo, size=2), Database(conninfo, size=2))
    WORKER_POINTS[point]()
    recover_due(context)
    os._exit(0)


#: Places around the COMMIT that a group shares.
GROUP_POINTS: dict[str, Callable[[], None]] = {
    "after a round trip": lambda: _die_after(Connection, "flush"),
    "before its COMMIT": lambda: _die_before(Connection, "commit"),
    "after its COMMIT": lambda: _die_after(Connection, "commit"),
}


def requests(conninfo: str, key: ApiKey, kind: str, point: str, bodies: Mapping[str, dict[str, Any]]) -> None:
    """Create payments under Idempotency-Keys whose work of one kind commits together, and die at ``point`` of that."""
    database, journal = Database(conninfo, size=4), Database(conninfo, size=4)
    client = Client(sandbox_context(database, journal), key)
    calls = [partial(client.post, "/v1/payments", body, key=name) for name, body in bodies.items()]
    together(journal if kind == "decision" else database, kind, calls, when_all_wait=GROUP_POINTS[point])
    os._exit(0)
