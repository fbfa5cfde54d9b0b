"""Makes what would only sometimes meet form one group: units of work that commit together."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from payments.repositories import group_commit
from payments.repositories.connection import Connection
from payments.repositories.database import Database
from payments.repositories.group_commit import Step
from tests.waiting import wait_until

_Result = TypeVar("_Result")


@contextmanager
def held(database: Database, kind: str) -> Iterator[Callable[[int], object]]:
    """Hold the turn of a kind of work; what is yielded waits until so many wait for theirs."""
    entered, release = threading.Event(), threading.Event()

    def holds(_: Connection) -> Generator[Step, None, None]:
        entered.set()
        release.wait()
        yield from ()

    def waiting() -> int:
        return len(database._groups[kind]._waiting)

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_commit, "LONGEST_WAIT_FOR_TURN", 60.0)
        holder = pool.submit(database.commit_together, kind, holds, locks="held")
        entered.wait()
        try:
            yield lambda count: wait_until(lambda: waiting() == count, f"{count} units of work")
        finally:
            release.set()
        holder.result()


def together(
    database: Database,
    kind: str,
    calls: Sequence[Callable[[], _Result]],
    *,
    when_all_wait: Callable[[], object] = lambda: None,
) -> Sequence[Future[_Result]]:
    """Make calls, each on a thread of its own, whose first work of a kind forms groups in their order."""
    futures: list[Future[Any]] = []
    with ThreadPoolExecutor(len(calls)) as pool, held(database, kind) as wait_for:
        for number, call in enumerate(calls, 1):
            futures.append(pool.submit(call))
            wait_for(number)
        when_all_wait()
    return futures
