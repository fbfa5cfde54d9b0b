"""Every order of the locked sections: whoever comes first wins, nobody is lost, nothing happens twice.

Each end is checked for everything that must hold of payments, operations, events, ledger and the processor's books
(`tests/proof/audit.py`), and whatever is open must come to its end by itself.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from payments.repositories import group_commit
from payments.repositories.database import Database
from tests.proof.interleaving import Interleaving, Order, orders
from tests.proof.profile import profile
from tests.proof.race import Race
from tests.proof.race_of_payments import PAYMENTS
from tests.proof.race_of_settings import SETTINGS
from tests.proof.stage import Stage
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres
from tests.service.scripted import make_attempts_due_at_once

#: Orders per race in the short profile; half of the races have no more of them.
ORDERS = 12


@pytest.fixture(scope="module")
def pools(migrated: Postgres) -> Iterator[tuple[Database, Database]]:
    """Pools whose connections wait for locks for as long as an order may take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGOPTIONS", "-c lock_timeout=60s -c statement_timeout=60s")
        found = Database(migrated.app, size=8), Database(migrated.app, size=8, name="payments-sandbox")
    yield found
    for pool in found:
        pool.close()


@pytest.fixture
def client(pools: tuple[Database, Database], key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> Client:
    make_attempts_due_at_once(monkeypatch)  # the worker may come at any time
    # Seconds. A paused leader keeps others of its kind waiting for their turn; the scheduler waits until they give up.
    monkeypatch.setattr(group_commit, "LONGEST_WAIT_FOR_TURN", 0.005)
    return Client(sandbox_context(*pools), key)


@pytest.mark.parametrize("name", PAYMENTS)
def test_race_of_payments(name: str, client: Client, postgres: Postgres) -> None:
    run(PAYMENTS[name], name, client, postgres)


@pytest.mark.parametrize("name", SETTINGS)
def test_race_of_settings(name: str, client: Client, postgres: Postgres) -> None:
    run(SETTINGS[name], name, client, postgres)


def run(found: Race, name: str, client: Client, postgres: Postgres) -> None:
    with psycopg.connect(postgres.superuser, autocommit=True) as observer:
        for statements in (False, True) if profile().minutes else (False,):
            explore(found, name, client, postgres, Interleaving(observer, statements=statements), observer)


def explore(
    found: Race,
    name: str,
    client: Client,
    postgres: Postgres,
    interleaving: Interleaving,
    observer: psycopg.Connection[Any],
) -> None:
    def play(prefix: Sequence[str]) -> Order:
        return found.play(Stage.make(postgres, observer, client), interleaving, prefix)

    with interleaving.installed():
        limit, random = profile().examples(ORDERS), profile().random(f"races {name}")
        explored = list(orders(play, limit=limit, random=random))
    assert len(explored) > 1, "there is more than one order"
    sections = {choice.section for order in explored for choice in order.choices}
    assert sections >= {"begin", "commit"}, "actors pause where others can come between"
