"""Group commit: units of work that come while others are being committed share one transaction, and its COMMIT.

Round trips and a COMMIT cost PostgreSQL and its client much the same for one unit as for eight. Whoever comes first
leads: it takes what waits, sends the statements of all in common round trips, each in its own tenant's scope, and
commits once. Nobody has a result before that COMMIT. If the group does not come to it, nothing of it remains, and each
unit runs in a transaction of its own.

See DeWitt et al., Implementation techniques for main memory database systems (SIGMOD 1984).
"""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from payments.domain.tenancy import TenantScope
from payments.repositories.connection import CommitUnanswered, Connection, note_commit

_Result = TypeVar("_Result")
#: Larger groups save little more. While one is in PostgreSQL, the service prepares the next.
LARGEST_GROUP = 8
#: Milliseconds. Whoever waits for a lock in a group keeps the others waiting; what takes longer waits by itself.
LOCK_WAIT_IN_GROUP = 50
#: Seconds. Where a group takes that long, PostgreSQL is in trouble, and whoever waits for its turn goes by itself.
LONGEST_WAIT_FOR_TURN = 0.25


class Step(Enum):
    """What a unit of work has come to."""

    #: All is queued whose results it reads next.
    READ = auto()
    #: All is queued; after the COMMIT it only reads results.
    COMMIT = auto()


#: Queues statements, yields the :class:`Step` that it has come to, and returns its result. It has no effect but in the
#: transaction, as it may run again in another one; what ends without ``COMMIT`` has written nothing.
UnitOfWork = Callable[[Connection], Generator[Step, None, _Result]]


class _Member(Generic[_Result]):
    """A unit of work, and what the thread that waits for it is told."""

    def __init__(self, work: UnitOfWork[_Result], *, tenant: TenantScope | None, locks: str) -> None:
        self.locks = locks
        self.woken = threading.Event()
        self.leads = False
        self.may_have_committed = False
        #: Returns the result, or raises. ``None`` until there is one: if woken without, the unit runs by itself.
        self.outcome: Callable[[], _Result] | None = None
        self._work = work
        self._tenant = tenant
        self._steps: Generator[Step, None, _Result] | None = None

    def proceed(self, tx: Connection) -> Step | None:
        """Let the unit come to its next step, ``None`` if that is its end, in the scope of its tenant."""
        if self._tenant is not None:
            tx.enter_scope(self._tenant.merchant_id, livemode=self._tenant.livemode)
        if self._steps is None:
            self._steps = self._work(tx)
        return self._next(self._steps)

    def finish(self) -> None:
        """Let the unit read its results after the COMMIT; what it raises concerns nobody else."""
        self.may_have_committed = True
        try:
            if self._steps is not None:
                self._next(self._steps)
        except Exception as error:  # noqa: BLE001 - told to the thread that waits for it
            self.fail(error)

    def _next(self, steps: Generator[Step, None, _Result]) -> Step | None:
        try:
            return next(steps)
        except StopIteration as end:
            result: _Result = end.value
            self.outcome = lambda: result
            return None

    def fail(self, error: Exception) -> None:
        """Have the thread that waits raise ``error``."""

        def outcome() -> _Result:
            raise error

        self.outcome = outcome

    def start_over(self) -> None:
        """Forget the transaction that came to nothing."""
        self._steps = None


class GroupCommit:
    """Commits units of work of one kind together. ``begin`` is a context with an open transaction."""

    def __init__(self, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._waiting: list[_Member[Any]] = []  # Any: each has a result of its own type
        self._is_led = False

    def run(self, work: UnitOfWork[_Result], *, tenant: TenantScope | None, locks: str) -> _Result:
        """Return the result of ``work`` once it is committed.

        Args:
            work: See :data:`UnitOfWork`.
            tenant: In whose scope it runs.
            locks: Names the row on which it would wait for its like. In one transaction it would not wait, so two with
                the same are never in one group.

        Raises:
            CommitUnanswered: The connection was lost at the COMMIT.
        """
        member = _Member(work, tenant=tenant, locks=locks)
        self._join(member)
        if not (member.leads or member.woken.wait(LONGEST_WAIT_FOR_TURN) or self._leave(member)):
            member.woken.wait()
        if member.leads:
            self._lead()
        if member.may_have_committed:
            note_commit()
        if member.outcome is None:
            member.start_over()
            with self._begin() as tx:
                _run(tx, [member])
        assert member.outcome is not None  # noqa: S101 - it has ended, or has raised
        return member.outcome()

    def _join(self, member: _Member[Any]) -> None:
        with self._lock:
            self._waiting.append(member)
            member.leads, self._is_led = not self._is_led, True

    def _leave(self, member: _Member[Any]) -> bool:
        """Give up waiting for a turn; returns whether it had not come yet."""
        with self._lock:
            leaves = member in self._waiting and not member.leads
            if leaves:
                self._waiting.remove(member)
        return leaves

    def _lead(self) -> None:
        group = self._take()
        try:
            self._run(group)
        finally:
            self._hand_over()
            for member in group:
                member.woken.set()

    def _take(self) -> Sequence[_Member[Any]]:
        """Return those that waited longest, in one order everywhere, so that two groups do not lock crosswise."""
        with self._lock:
            taken: dict[str, _Member[Any]] = {}
            for member in self._waiting:
                if len(taken) < LARGEST_GROUP:
                    taken.setdefault(member.locks, member)
            self._waiting = [member for member in self._waiting if taken.get(member.locks) is not member]
        return [taken[locks] for locks in sorted(taken)]

    def _hand_over(self) -> None:
        with self._lock:
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()

    def _run(self, group: Sequence[_Member[Any]]) -> None:
        begun, is_shared = False, len(group) > 1
        try:
            with self._begin() as tx:
                begun = True
                if is_shared:
                    tx.limit_lock_waits(LOCK_WAIT_IN_GROUP)
                _run(tx, group)
        except Exception as error:  # noqa: BLE001 - told to everybody, or met again by the unit that caused it
            for member in group:
                if member.may_have_committed:
                    continue  # it has its result: only the connection could not be returned
                member.outcome = None
                if not (begun and is_shared) or isinstance(error, CommitUnanswered):
                    member.fail(error)
                member.may_have_committed = isinstance(error, CommitUnanswered)


def _run(tx: Connection, members: Sequence[_Member[Any]]) -> None:
    """Run units of work in one transaction, each step of all before the next of any."""
    committing: list[_Member[Any]] = []
    going = members
    while going:
        steps = {member: member.proceed(tx) for member in going}
        committing += [member for member, step in steps.items() if step is Step.COMMIT]
        going = [member for member, step in steps.items() if step is Step.READ]
        if going:
            tx.flush()
    if committing:
        tx.commit()
    for member in committing:
        member.finish()
