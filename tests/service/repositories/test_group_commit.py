"""Units of work that commit together: each once, or not at all; and none fails through the fault of another."""

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments.repositories import group_commit
from payments.repositories.connection import CommitUnanswered, Connection, begin_request, may_have_committed
from payments.repositories.database import Database, DatabaseUnavailable
from payments.repositories.group_commit import LARGEST_GROUP, GroupCommit, Step, UnitOfWork
from tests.service.fixtures import Postgres, make_key
from tests.service.grouping import held, together
from tests.service.lossy_proxy import LossyProxy, Lost
from tests.waiting import wait_until

_KIND = "test"


@pytest.fixture
def own(postgres: Postgres) -> Iterator[Database]:
    database = Database(postgres.app, size=4)
    yield database
    database.close()


def insert(merchant_id: str, *, then: Callable[[], object] = lambda: None) -> UnitOfWork[str]:
    """Insert a merchant, and return the transaction that did."""

    def work(tx: Connection) -> Generator[Step, None, str]:
        tx.queue("INSERT INTO merchants (id, name) VALUES (%(id)s, 'x')", {"id": merchant_id})
        found = tx.queue("SELECT pg_current_xact_id()::text AS xid")
        yield Step.READ
        then()
        yield Step.COMMIT
        return str(found.all()[0]["xid"])

    return work


def call(database: Database, name: str, work: UnitOfWork[str] | None = None) -> Callable[[], str]:
    return partial(database.commit_together, _KIND, work or insert(name), locks=name)


def merchants(postgres: Postgres) -> Counter[str]:
    with psycopg.connect(postgres.superuser) as connection:
        return Counter(row[0] for row in connection.execute("SELECT id FROM merchants"))


def results(futures: Sequence[Future[Any]]) -> Sequence[Any]:
    return [future.exception(timeout=60) or future.result() for future in futures]


def test_what_comes_meanwhile_shares_a_commit(own: Database, postgres: Postgres) -> None:
    names = [f"mer_{number}" for number in range(LARGEST_GROUP + 3)]
    transactions = Counter(results(together(own, _KIND, [call(own, name) for name in names])))
    assert sorted(transactions.values()) == [3, LARGEST_GROUP]
    assert merchants(postgres) == Counter(names)


def test_who_comes_alone_waits_for_nobody(own: Database, postgres: Postgres) -> None:
    assert [call(own, name)() for name in ("mer_1", "mer_2")]
    assert merchants(postgres) == Counter(["mer_1", "mer_2"])


def test_what_locks_the_same_is_never_in_one_group(postgres: Postgres) -> None:
    database = Database(postgres.superuser, size=4)  # the service may not change merchants

    def increment(tx: Connection) -> Generator[Step, None, None]:
        locked = tx.queue("SELECT name FROM merchants WHERE id = 'mer_1' FOR UPDATE")
        yield Step.READ
        name = locked.one(lambda row: f"{row['name']}x")
        tx.queue("UPDATE merchants SET name = %(name)s WHERE id = 'mer_1'", {"name": name})
        yield Step.COMMIT

    call(database, "mer_1")()
    increments = [partial(database.commit_together, _KIND, increment, locks="mer_1") for _ in range(3)]
    assert results(together(database, _KIND, increments)) == [None] * 3
    database.close()
    with psycopg.connect(postgres.superuser) as connection:
        assert connection.execute("SELECT name FROM merchants").fetchall() == [("xxxx",)], "no update is lost"


def raise_(error: BaseException) -> object:
    raise error


FAULTS: dict[str, UnitOfWork[str]] = {
    "a statement": insert("mer_1"),
    "its code": insert("mer_fault", then=partial(raise_, LookupError("a bug"))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_fails_fails_alone(own: Database, postgres: Postgres, fault: str) -> None:
    call(own, "mer_1")()
    names = ["mer_2", "mer_3", "mer_4"]
    calls = [call(own, name) for name in names]
    calls.insert(1, call(own, "mer_fault", FAULTS[fault]))
    first, failed, *others = results(together(own, _KIND, calls))
    assert isinstance(failed, (psycopg.errors.UniqueViolation, LookupError))
    assert len({first, *others}) == 3, "each in a transaction of its own"
    assert merchants(postgres) == Counter(["mer_1", *names])


def test_one_that_waits_for_a_lock_keeps_nobody_waiting(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=0")  # by itself, it would wait without end
    own = Database(postgres.app, size=4)
    with ThreadPoolExecutor(3) as pool, psycopg.connect(postgres.superuser) as other:
        other.execute("INSERT INTO merchants (id, name) VALUES ('mer_2', 'x')")
        with held(own, _KIND) as wait_for:
            futures = {name: pool.submit(call(own, name)) for name in ("mer_1", "mer_2", "mer_3")}
            wait_for(3)
        first, third = results([futures["mer_1"], futures["mer_3"]])
        assert first != third
        assert not futures["mer_2"].done(), "it waits by itself"
        other.rollback()
        assert futures["mer_2"].result()
    own.close()
    assert merchants(postgres) == Counter(["mer_1", "mer_2", "mer_3"])


@pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.value)
def test_a_lost_commit_is_unknown_to_all(postgres: Postgres, lost: Lost) -> None:
    def observed(name: str) -> str:
        begin_request()
        with pytest.raises(CommitUnanswered):
            call(database, name)()
        return "may have" if may_have_committed() else "has not"

    with LossyProxy(postgres.app) as proxy:
        database = Database(proxy.conninfo, size=4)
        call(database, "mer_1")()
        names = ["mer_2", "mer_3"]
        calls = [partial(observed, name) for name in names]
        found = results(together(database, _KIND, calls, when_all_wait=lambda: proxy.lose(b"COMMIT", lost)))
        assert found == ["may have", "may have"]
        database.close()
    assert merchants(postgres) == Counter(["mer_1", *(names if lost is Lost.ANSWER else [])])


def test_a_connection_lost_earlier_harms_nobody(own: Database, postgres: Postgres) -> None:
    ended = threading.Event()

    def end_connections() -> None:
        if not ended.is_set():
            ended.set()
            with psycopg.connect(postgres.superuser, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE application_name = 'payments' AND state = 'idle in transaction'"
                )

    calls = [call(own, "mer_1"), call(own, "mer_2", insert("mer_2", then=end_connections)), call(own, "mer_3")]
    found = results(together(own, _KIND, calls))
    assert ended.is_set()
    # Its COMMIT was on the way, or it had been told before: whoever has a result is there, once.
    told = {name for name, result in zip(("mer_1", "mer_2", "mer_3"), found, strict=True) if isinstance(result, str)}
    assert all(isinstance(result, (str, psycopg.OperationalError)) for result in found), found
    assert all(count == 1 for count in merchants(postgres).values())
    assert told <= set(merchants(postgres))


def test_without_a_database_all_are_told_at_once(own: Database, postgres: Postgres) -> None:
    asked = []

    @contextmanager
    def begin() -> Iterator[Connection]:
        asked.append("for a connection")
        if len(asked) > 1:
            raise DatabaseUnavailable("none became available in time")
        with own.transaction() as tx:
            yield tx

    own._groups[_KIND] = GroupCommit(begin)
    found = results(together(own, _KIND, [call(own, "mer_1"), call(own, "mer_2")]))
    assert [type(result) for result in found] == [DatabaseUnavailable] * 2
    assert len(asked) == 2, "once for whoever held the turn, and once for both"
    assert merchants(postgres) == Counter()


def test_a_turn_that_does_not_come_is_not_waited_for(
    own: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(2) as pool, held(own, _KIND):
        monkeypatch.setattr(group_commit, "LONGEST_WAIT_FOR_TURN", 0.01)
        assert len(set(results([pool.submit(call(own, name)) for name in ("mer_1", "mer_2")]))) == 2
    assert merchants(postgres) == Counter(["mer_1", "mer_2"])


def test_a_group_keeps_tenants_apart(own: Database, postgres: Postgres) -> None:
    tenants = [make_key(postgres, f"mer_{letter}", livemode=mode) for letter in "ab" for mode in (False, True)]

    def look(tx: Connection) -> Generator[Step, None, tuple[str, ...]]:
        texts = []
        for _ in range(2):
            found = tx.queue(
                "SELECT current_user::text AS role, current_setting('app.merchant_id') AS merchant,"
                " current_setting('app.livemode') AS livemode, (SELECT string_agg(id, ',') FROM merchants) AS seen"
            )
            yield Step.READ
            texts.append(str(found.one(lambda row: tuple(row.values()))))
        yield Step.COMMIT
        return tuple(texts)

    calls = [partial(own.commit_together, _KIND, look, tenant=tenant, locks=tenant.token) for tenant in tenants]
    for tenant, future in zip(tenants, together(own, _KIND, calls), strict=True):
        own_view = str(("payments_merchant", tenant.merchant_id, str(tenant.livemode).lower(), tenant.merchant_id))
        assert future.result() == (own_view, own_view)


_OUTCOMES = st.sampled_from(["done", "statement fails", "code fails", "nothing to do"])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outcomes=st.lists(_OUTCOMES, min_size=1, max_size=2 * LARGEST_GROUP))
def test_any_mixture_does_each_once(own: Database, postgres: Postgres, outcomes: Sequence[str]) -> None:
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("TRUNCATE merchants CASCADE")
        connection.execute("INSERT INTO merchants (id, name) VALUES ('mer_taken', 'x')")

    def nothing(_: Connection) -> Generator[Step, None, str]:
        yield Step.READ
        return "nothing"

    works = {
        "statement fails": insert("mer_taken"),
        "code fails": insert("mer_never", then=partial(raise_, LookupError("a bug"))),
        "nothing to do": nothing,
    }
    names = [f"mer_{number}" for number in range(len(outcomes))]
    calls = [call(own, name, works.get(outcome)) for name, outcome in zip(names, outcomes, strict=True)]
    found = results(together(own, _KIND, calls))
    for outcome, result in zip(outcomes, found, strict=True):
        assert isinstance(result, Exception) is outcome.endswith("fails"), (outcome, result)
    done = [name for name, outcome in zip(names, outcomes, strict=True) if outcome == "done"]
    assert merchants(postgres) == Counter(["mer_taken", *done])


def test_a_leader_that_ends_takes_nobody_along(own: Database, postgres: Postgres) -> None:
    def exits(_: Connection) -> Generator[Step, None, str]:
        yield Step.READ
        raise_(SystemExit())
        return ""

    calls = [call(own, "mer_1", exits), call(own, "mer_2"), call(own, "mer_3")]
    ended, second, third = together(own, _KIND, calls)
    assert isinstance(ended.exception(), SystemExit)
    assert second.result() != third.result()
    assert merchants(postgres) == Counter(["mer_2", "mer_3"])


def test_a_leader_that_ends_hands_over(own: Database, postgres: Postgres) -> None:
    begun = threading.Event()

    def exits(_: Connection) -> Generator[Step, None, str]:
        begun.set()
        wait_until(lambda: own._groups[_KIND]._waiting, "somebody in line")
        raise_(SystemExit())
        yield Step.COMMIT
        return ""

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(call(own, "mer_1", exits))
        begun.wait()
        second = pool.submit(call(own, "mer_2"))
        assert isinstance(first.exception(), SystemExit)
        assert second.result()
    assert merchants(postgres) == Counter(["mer_2"])
