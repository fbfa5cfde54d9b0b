"""Readers of events and ledger miss nothing, and what holds them back is seen, named, and none of our own jobs."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from payments.repositories import settlement_lines
from payments.repositories.database import Database
from payments.repositories.settlement_lines import SettlementLine
from payments.services import housekeeping, ledger_integrity
from payments.services.context import Context
from payments.services.reconciliation import SettlementReport, reconcile
from payments.services.webhook_delivery import fan_out
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres
from tests.service.seed import add_event, add_event_in

_RUNBOOK = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


@pytest.fixture
def culprit(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """A transaction that somebody left open, in another database of the cluster."""
    elsewhere = make_conninfo(postgres.superuser, dbname="postgres", application_name="culprit")
    with psycopg.connect(elsewhere) as connection:
        connection.execute("SELECT pg_current_xact_id()")
        yield connection
        connection.close()


def _measured(context: Context) -> dict[str, float]:
    housekeeping.measure_readers(context)
    housekeeping.measure_webhook_backlog(context)
    names = ("OldestUnreadAge", "WebhookBacklog", "WebhookBacklogAge")
    return {name: document[name][-1] for document in context.metrics.drain() for name in names if name in document}


def _age(postgres: Postgres, table: str) -> None:
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("SET session_replication_role = replica")  # it is append-only
        connection.execute(f"UPDATE {table} SET created_at = created_at - interval '10 minutes'")


@pytest.mark.parametrize("table", ["events", "ledger_transfers"])
def test_what_cannot_be_read_yet_is_measured(
    client: Client, postgres: Postgres, culprit: psycopg.Connection, table: str
) -> None:
    client.json(client.create())
    _age(postgres, table)
    assert not fan_out(client.context)
    assert not ledger_integrity.roll_up(client.context)
    measured = _measured(client.context)
    assert measured["OldestUnreadAge"] == pytest.approx(600, abs=60)
    assert measured["WebhookBacklog"] == 1
    assert measured["WebhookBacklogAge"] == pytest.approx(600 if table == "events" else 0, abs=60)
    culprit.rollback()
    for work in (fan_out, ledger_integrity.roll_up, ledger_integrity.seal):
        while work(client.context):
            pass
    assert _measured(client.context) == {"OldestUnreadAge": 0, "WebhookBacklog": 0, "WebhookBacklogAge": 0}


@pytest.mark.parametrize("prepared", [False, True], ids=["open", "prepared"])
def test_the_runbook_names_and_ends_the_culprit(client: Client, postgres: Postgres, prepared: bool) -> None:
    section = _RUNBOOK.partition("### readers-held-back")[2].partition("\n##")[0]
    (query,) = re.findall(r"(?m)^    SELECT (?:.|\n)*?;$", section)
    elsewhere = make_conninfo(postgres.superuser, dbname="postgres", application_name="culprit")
    held = psycopg.connect(elsewhere)
    if prepared:
        held.tpc_begin("left behind")
    held.execute("SELECT pg_current_xact_id()")
    if prepared:
        held.tpc_prepare()
        held.close()
    client.json(client.create())
    assert not fan_out(client.context)
    with psycopg.connect(postgres.superuser, autocommit=True) as owner:
        found = owner.execute(query).fetchall()[0]
        assert found[1] == "postgres"
        if prepared:
            assert (found[0], found[3]) == ("left behind", "prepared transaction")
            with psycopg.connect(elsewhere, autocommit=True) as same:
                same.execute("ROLLBACK PREPARED 'left behind'")
        else:
            assert found[3] == "culprit"
            owner.execute("SELECT pg_terminate_backend(%s, 60000)", [int(found[0])])
            held.close()
    assert fan_out(client.context)


def test_a_comparison_of_a_report_holds_back_nobody(
    client: Client, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bool] = []
    compare = settlement_lines.differences

    def long_comparison(*arguments: Any, **options: Any) -> Any:
        client.json(client.create())
        read.append(fan_out(client.context))
        return compare(*arguments, **options)

    monkeypatch.setattr(settlement_lines, "differences", long_comparison)
    line = SettlementLine(
        line=2, kind="charge", reference="ch_1", currency="EUR", amount=1, fee=0, settled_on=date(2026, 11, 1)
    )
    report = SettlementReport(processor="sandbox", livemode=False, name="daily", actor="ops")
    assert reconcile(client.context, report, [line])
    assert read == [True]


def test_a_poller_of_events_misses_none(client: Client, postgres: Postgres) -> None:
    """Who reads back to the newest event it knows; one that commits late never appears behind it."""
    known: list[str] = []

    def poll() -> list[str]:
        new: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = client.json(client.get("/v1/events", limit=1, **cursor))
            for event in page["data"]:
                if event["id"] in known[-1:]:
                    return new
                new.insert(0, event["id"])
            if not page["has_more"]:
                return new
            cursor = {"cursor": page["next_cursor"]}

    first = add_event(postgres, client.key.merchant_id)
    known += poll()
    with psycopg.connect(postgres.superuser) as slow:
        early = add_event_in(slow, client.key.merchant_id)
        late = add_event(postgres, client.key.merchant_id)
        known += poll()
        assert known == [first], "the late one waits for the one that may still come before it"
        slow.commit()
    known += poll()
    assert known[0] == first
    assert sorted(known[1:]) == sorted([early, late])


def test_events_are_listed_by_type(client: Client) -> None:
    payment = client.json(client.create())["id"]
    client.json(client.post(f"/v1/payments/{payment}/refunds", {"amount": 1}))
    client.create("tok_declined")

    def types(**query: Any) -> list[str]:
        return [event["type"] for event in client.json(client.get("/v1/events", limit=100, **query))["data"]]

    everything = types()
    assert types(type="payment.succeeded") == ["payment.succeeded"]
    assert types(type="refund.*") == [each for each in everything if each.startswith("refund.")] != []
    assert types(type="payment.*") == [each for each in everything if each.startswith("payment.")] != []
    assert types(type="payment.canceled") == []
    for wrong in ("*", "payment", "payment.", "refund.%", "payment.nothing", ""):
        assert client.get("/v1/events", type=wrong).status_code == 422, wrong
