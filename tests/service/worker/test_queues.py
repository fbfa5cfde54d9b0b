"""One look at all queues tells what is due; an idle worker does nothing else, and a busy one waits for no look."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from payments.domain.outcomes import Outcome, Result
from payments.domain.webhooks import new_secret
from payments.repositories import inbox
from payments.repositories.database import Database
from payments.repositories.webhook_messages import InFlight
from payments.services import queues, recovery, webhook_delivery
from payments.worker import main as worker
from payments.worker import schedule
from payments.worker.loops import Loop, run_loop
from payments.worker.watchdog import Watchdog
from tests.service.api import Client, context_with
from tests.service.fixtures import ApiKey, Postgres
from tests.service.receivers import receiver
from tests.service.scripted import APPROVED, Scripted, execute
from tests.service.seed import add_event
from tests.waiting import wait_until

WAIT = 60.0


@pytest.fixture
def client(database: Database, key: ApiKey) -> Client:
    return Client(replace(context_with(database, Scripted()), allow_local_webhooks=True), key)


def add_endpoint(postgres: Postgres, merchant_id: str, url: str) -> None:
    execute(
        postgres,
        "INSERT INTO webhook_endpoints (merchant_id, livemode, id, url, event_types, api_version, secret, created_at)"
        " VALUES (%s, false, 'we_1', %s, '{*}', '2026-11-01', %s, now())",
        merchant_id,
        url,
        new_secret(),
    )


# ---- what is due ----------------------------------------
def test_nothing_is_due_in_an_empty_database(client: Client) -> None:
    assert queues.due(client.context) == set()


def test_a_refusal_is_due_only_where_a_processor_has_events(client: Client, postgres: Postgres) -> None:
    """The worker handles events of such processors only: others would be due for ever."""
    scripted = client.context.processors["scripted"]
    assert isinstance(scripted, Scripted)
    scripted.results = {"authorize": APPROVED, "capture": Result(outcome=Outcome.DECLINED)}
    payment = client.json(client.create(capture_method="manual"))["id"]
    assert client.post(f"/v1/payments/{payment}/capture", {"amount": 1}).status_code == 402
    assert "events" not in queues.due(client.context)


def test_recovery_is_due_when_an_attempt_is(client: Client, postgres: Postgres) -> None:
    client.create()  # with an unknown outcome
    assert "recovery" not in queues.due(client.context), "scheduled for later"
    execute(postgres, "UPDATE attempts SET next_look_at = now()")
    assert "recovery" in queues.due(client.context)
    assert recovery.claim_due(client.context, "scripted", limit=1, reserved=0)
    assert "recovery" not in queues.due(client.context), "claimed"


def test_the_events_of_a_processor_are_due_when_one_is(client: Client, postgres: Postgres) -> None:
    with client.context.database.transaction() as tx:
        inbox.insert(tx, processor="scripted", event_id="e", livemode=False, event_type="t", references=["r"])
        tx.commit()
    assert queues.due(client.context) == {"events"}
    with client.context.database.transaction() as tx:
        assert inbox.claim_due(tx, processor="scripted", limit=1, lease=timedelta(seconds=60))
        tx.commit()
    assert queues.due(client.context) == set()


def test_an_event_is_due_once_no_transaction_can_precede_it(
    client: Client, key: ApiKey, postgres: Postgres, database: Database
) -> None:
    with psycopg.connect(postgres.superuser) as open_transaction:
        open_transaction.execute("SELECT pg_current_xact_id()")
        add_event(postgres, key.merchant_id)
        assert queues.due(client.context) == set(), "whoever fans out would not find it"
    assert queues.due(client.context) == {"webhook_fan_out"}
    assert webhook_delivery.fan_out(client.context)
    assert queues.due(client.context) == set()


def test_a_merchant_who_was_served_a_share_is_due_again(client: Client, key: ApiKey, postgres: Postgres) -> None:
    add_endpoint(postgres, key.merchant_id, "https://localhost/")
    for _ in range(20):  # more than a share
        add_event(postgres, key.merchant_id)
    assert webhook_delivery.fan_out(client.context)
    assert queues.due(client.context) == {"webhook_fan_out", "webhook_delivery"}


def test_a_message_is_due_until_it_is_claimed(client: Client, key: ApiKey, postgres: Postgres) -> None:
    add_endpoint(postgres, key.merchant_id, "https://localhost/")
    add_event(postgres, key.merchant_id)
    created = threading.Event()
    while webhook_delivery.fan_out(client.context, created=created.set):
        assert created.is_set()
    assert queues.due(client.context) == {"webhook_delivery"}
    assert webhook_delivery.claim_due(client.context, free=1, in_flight=InFlight())
    assert queues.due(client.context) == set()


# ---- who waits for it ----------------------------------------
def test_a_queue_is_served_when_something_is_due_and_ends_when_told() -> None:
    served, due, stop = threading.Semaphore(0), threading.Event(), threading.Event()

    def serve() -> bool:
        served.release()
        return False

    loop = Loop(name="queue", interval=3600.0, run=serve, due=due)
    thread = threading.Thread(target=run_loop, args=(loop, stop, Watchdog(limit=60.0)))
    thread.start()
    for _ in range(3):
        assert served.acquire(timeout=WAIT)
        due.set()
    assert served.acquire(timeout=WAIT)
    stop.set()
    due.set()
    thread.join(WAIT)
    assert not thread.is_alive()


@pytest.fixture
def started(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A running worker whose queues are served only when they are due, or when they are told to stop."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(schedule, "_UNASKED", 3600.0)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(client.context, stop))
    thread.start()
    yield stop
    stop.set()
    thread.join(worker._DRAIN - 5)
    assert not thread.is_alive(), "no loop waits for longer than the worker"


def test_an_event_is_delivered(client: Client, key: ApiKey, postgres: Postgres, started: threading.Event) -> None:
    with receiver() as shop:
        add_endpoint(postgres, key.merchant_id, shop.url)
        for number in range(1, 4):  # each finds every loop waiting again
            add_event(postgres, key.merchant_id)
            wait_until(lambda: len(shop.requests) == number, "the delivery")  # noqa: B023 - called at once


def test_an_idle_worker_only_asks_what_is_due(
    client: Client, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    looks, claims, due = [0], [0], queues.due

    def look(*arguments: object) -> set[str]:
        looks[0] += 1
        return due(client.context)

    def claimed(*arguments: object, **options: object) -> object:
        claims[0] += 1
        return []

    monkeypatch.setattr(queues, "due", look)
    monkeypatch.setattr(recovery, "claim_due", claimed)
    monkeypatch.setattr(schedule, "_POLL", 0.01)
    request.getfixturevalue("started")
    wait_until(lambda: looks[0] > 20, "looks at the queues")
    assert claims[0] == 1, "at the start"
