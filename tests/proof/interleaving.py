"""Runs concurrent parts of the service in every order of their database transactions, one section at a time.

Each part ("actor") runs on a thread of its own, with connections of its own, and pauses before each transaction and
before each COMMIT; optionally before each round trip too. A scheduler lets one actor at a time continue to its next
pause. An actor that PostgreSQL makes wait for a lock counts as standing until the lock is free. No order is run twice,
and those with few preemptions come first, as in systematic testing of concurrent programs (CHESS: iterative context
bounding). A failure names its order, and the same order happens again.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from payments.repositories.connection import Connection

#: Name of the sandbox's own connections: what happens at the processor is part of the section that calls it.
PROCESSOR_POOL = "payments-sandbox"
#: Seconds without any progress after which an order has failed.
_STALLED = 20.0
#: Seconds between two looks at what keeps an actor from its next pause.
_GLANCE = 0.003


@dataclass
class _Actor:
    name: str
    work: Callable[[], str]
    #: Where it stands; ``None`` while it runs (or waits for a lock), and once it has ended.
    pause: str | None = None
    ended: bool = False
    answer: str = ""
    error: BaseException | None = None
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    #: Backend of the connection in use.
    pid: int | None = None
    #: Whether the connection in use belongs to the processor.
    is_processor: bool = False


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A point of an order: who could continue, who did, and from where."""

    ready: tuple[str, ...]
    chosen: str
    section: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order that was run: its choices, and what each actor answered."""

    choices: tuple[Choice, ...]
    answers: Mapping[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{choice.chosen}:{choice.section}" for choice in self.choices)


class DivergedError(Exception):
    """An actor waits, or does not, where it did otherwise before: the order cannot be repeated, and is passed over."""


class Interleaving:
    """Pauses the service's transactions while it is installed. ``statements`` pauses before each round trip as well."""

    def __init__(self, observer: psycopg.Connection, *, statements: bool = False) -> None:
        self._observer = observer
        self._statements = statements
        self._local = threading.local()
        self._changed = threading.Condition()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Install the hooks into the drivers of the database; threads that are no actors pass them freely."""
        with pytest.MonkeyPatch.context() as patch:
            self._hook_pool(patch)
            self._hook_statements(patch)
            yield

    def _hook_pool(self, patch: pytest.MonkeyPatch) -> None:
        getconn, putconn = ConnectionPool.getconn, ConnectionPool.putconn

        # Any: the drivers' own signatures.
        def paused_getconn(pool: Any, *arguments: Any, **named: Any) -> Any:
            actor = self._actor()
            if actor is None:
                return getconn(pool, *arguments, **named)
            actor.is_processor = pool.name == PROCESSOR_POOL
            self._pause(actor, "begin")
            connection = getconn(pool, *arguments, **named)
            actor.pid = connection.info.backend_pid
            return connection

        def observed_putconn(pool: Any, *arguments: Any, **named: Any) -> None:
            if (actor := self._actor()) is not None:
                actor.pid = None  # from now on, the connection may be another's
            putconn(pool, *arguments, **named)

        patch.setattr(ConnectionPool, "getconn", paused_getconn)
        patch.setattr(ConnectionPool, "putconn", observed_putconn)

    def _hook_statements(self, patch: pytest.MonkeyPatch) -> None:
        commit, flush, execute = Connection.commit, Connection.flush, psycopg.Cursor.execute

        def paused_commit(connection: Connection) -> None:
            if (actor := self._actor()) is not None:
                self._pause(actor, "commit")
            commit(connection)

        def paused_flush(connection: Connection) -> None:
            queue = connection._queue
            if (actor := self._actor()) is not None and self._statements and queue and queue[-1].statement != b"COMMIT":
                self._pause(actor, "round trip")
            flush(connection)

        # Any: the driver's own signature.
        def paused_execute(cursor: Any, query: Any, *arguments: Any, **named: Any) -> Any:
            if (actor := self._actor()) is not None and self._statements:
                self._pause(actor, " ".join(str(query).split()[:3]))
            return execute(cursor, query, *arguments, **named)

        patch.setattr(Connection, "commit", paused_commit)
        patch.setattr(Connection, "flush", paused_flush)
        patch.setattr(psycopg.Cursor, "execute", paused_execute)

    def run(self, works: Mapping[str, Callable[[], str]], prefix: Sequence[str]) -> Order:
        """Run the actors to their ends, in the order of ``prefix``; after it, each for as long as it can continue."""
        actors = {name: _Actor(name=name, work=work) for name, work in works.items()}
        threads = [threading.Thread(target=self._run_actor, args=(actor,), name=name) for name, actor in actors.items()]
        for thread in threads:
            thread.start()
        choices: list[Choice] = []
        try:
            while ready := self._wait_for_ready(actors.values()):
                last = choices[-1].chosen if choices else ""
                default = last if last in ready else ready[0]
                chosen = prefix[len(choices)] if len(choices) < len(prefix) else default
                if chosen not in ready:
                    raise DivergedError
                choices.append(Choice(ready=ready, chosen=chosen, section=str(actors[chosen].pause)))
                self._continue(actors[chosen])
        except BaseException:
            self._abandon(actors.values())
            raise
        finally:
            for thread in threads:
                thread.join(_STALLED)
        order = Order(choices=tuple(choices), answers={name: actor.answer for name, actor in actors.items()})
        for actor in actors.values():
            if actor.error is not None:
                actor.error.add_note(f"actor {actor.name}, in the order: {order}")
                raise actor.error
        return order

    def _run_actor(self, actor: _Actor) -> None:
        self._local.actor = actor
        try:
            actor.answer = actor.work()
        except BaseException as error:  # noqa: BLE001 - raised by run()
            actor.error = error
        finally:
            with self._changed:
                actor.ended = True
                self._changed.notify_all()

    def _actor(self) -> _Actor | None:
        found: _Actor | None = getattr(self._local, "actor", None)
        return found

    def _pause(self, actor: _Actor, section: str) -> None:
        if actor.is_processor:
            return
        with self._changed:
            actor.pause = section
            self._changed.notify_all()
        actor.go.acquire()

    def _continue(self, actor: _Actor) -> None:
        with self._changed:
            actor.pause = None
        actor.go.release()

    def _abandon(self, actors: Collection[_Actor]) -> None:
        for actor in actors:
            for _ in range(1000):
                actor.go.release()

    def _wait_for_ready(self, actors: Collection[_Actor]) -> tuple[str, ...]:
        """Return who can continue, once nobody is running; nobody can once all have ended."""
        waited = 0.0
        while True:
            with self._changed:
                running = [actor for actor in actors if actor.pause is None and not actor.ended]
                if running:
                    self._changed.wait(_GLANCE)
                    running = [actor for actor in actors if actor.pause is None and not actor.ended]
                ready = tuple(actor.name for actor in actors if actor.pause is not None and not actor.ended)
            if not running:
                return ready
            if ready and all(self._waits_for_lock(actor) for actor in running):
                return ready
            waited += _GLANCE
            assert waited < _STALLED, f"stalled: {[(actor.name, actor.pid) for actor in running]}"

    def _waits_for_lock(self, actor: _Actor) -> bool:
        if actor.pid is None:
            return False
        row = self._observer.execute("SELECT cardinality(pg_blocking_pids(%s))", [actor.pid]).fetchone()
        return row is not None and row[0] > 0


def orders(run: Callable[[Sequence[str]], Order], *, limit: int, random: Random) -> Iterator[Order]:
    """Run and yield up to ``limit`` orders: first those that take the turn from an actor least often.

    Few preemptions suffice for almost every bug. ``random`` decides between orders with equally many.
    """
    pending: list[tuple[int, float, tuple[str, ...]]] = [(0, 0.0, ())]
    while pending and limit > 0:
        _, _, prefix = heapq.heappop(pending)
        limit -= 1
        try:
            order = run(prefix)
        except DivergedError:
            continue
        yield order
        path = tuple(choice.chosen for choice in order.choices)
        for index in range(len(prefix), len(path)):
            for other in order.choices[index].ready:
                if other != path[index]:
                    branch = (*path[:index], other)
                    heapq.heappush(pending, (_preemptions(order, branch), random.random(), branch))


def _preemptions(order: Order, branch: Sequence[str]) -> int:
    """Count the turns in ``branch`` that were taken from an actor which could have continued."""
    return sum(
        before != after and before in order.choices[index].ready
        for index, (before, after) in enumerate(itertools.pairwise(branch), start=1)
    )
