"""What one merchant's receivers do delays no other merchant's webhooks; what breaks a delivery breaks only that one."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count

import psycopg
import pytest

from payments.domain.ids import Prefix, new_id
from payments.domain.webhooks import new_secret
from payments.repositories.database import Database
from payments.services import housekeeping
from payments.services.context import Context
from payments.worker.loops import run_loop
from payments.worker.schedule import all_loops
from payments.worker.watchdog import Watchdog
from tests.proof.crowd import Crowd, crowd
from tests.proof.profile import profile
from tests.service.fixtures import Postgres
from tests.waiting import wait_until

#: Seconds: what is promised to a merchant whose receivers are in order.
PROMISED = 2.0
#: Endpoints that a merchant can have.
ENDPOINTS = 16
#: Events of the honest merchant, and seconds between two of them.
EVENTS, PAUSE = 15, 0.1
#: Messages among which there are those that cannot be sent.
MANY = 10_000 if profile().minutes else 800
_LOOPS = ("queues", "webhook_fan_out", "webhook_delivery")
_numbers = count()


@contextlib.contextmanager
def worker(postgres: Postgres) -> Iterator[Context]:
    """The webhook loops of a worker as it is deployed."""
    database = Database(postgres.app, size=16, name="payments-worker")
    context = Context(database=database, processors={}, routes={}, allow_local_webhooks=True)
    stop, watchdog = threading.Event(), Watchdog(limit=60)
    loops = [loop for loop in all_loops(context) if loop.name in _LOOPS]
    assert len(loops) == len(_LOOPS)
    threads = [threading.Thread(target=run_loop, args=(loop, stop, watchdog), daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield context
    finally:
        stop.set()
        for loop in loops:
            if loop.due is not None:
                loop.due.set()
        for thread in threads:
            thread.join()
        database.close()


def add_endpoints(connection: psycopg.Connection, merchant: str, urls: Sequence[str]) -> None:
    connection.execute("INSERT INTO merchants (id, name) VALUES (%s, 'M') ON CONFLICT DO NOTHING", [merchant])
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO webhook_endpoints"
            " (merchant_id, livemode, id, url, event_types, api_version, secret, created_at)"
            " VALUES (%s, false, %s, %s, ARRAY['*'], '2026-11-01', %s, now())",
            [(merchant, new_id(Prefix.WEBHOOK_ENDPOINT, datetime.now(UTC)), url, new_secret()) for url in urls],
        )


def add_events(postgres: Postgres, merchant: str, number: int) -> list[str]:
    """Insert and commit a payment with `number` events; return their ids."""
    now = datetime.now(UTC)
    payment, ids = new_id(Prefix.PAYMENT, now), [new_id(Prefix.EVENT, now) for _ in range(number)]
    with psycopg.connect(postgres.superuser) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO payments (merchant_id, livemode, id, status, amount, currency, capture_method, payment_method,"
            " fee_basis_points, processor, api_version, created_at)"
            " VALUES (%s, false, %s, 'processing', 100, 'EUR', 'automatic', 'tok_visa', 290, 'sandbox', '2026-11-01',"
            " now())",
            [merchant, payment],
        )
        cursor.executemany(
            "INSERT INTO events (id, merchant_id, livemode, type, payment_id, sequence, api_version, body)"
            " VALUES (%s, %s, false, 'payment.succeeded', %s, %s, '2026-11-01', %s)",
            [(event, merchant, payment, sequence + 1, json.dumps({"id": event})) for sequence, event in enumerate(ids)],
        )
    return ids


def hostile(postgres: Postgres, receivers: Crowd, behaviors: Sequence[str], *, merchants: int, events: int) -> None:
    """Register `merchants` with as many bad receivers as they can have, and give each of them `events`."""
    names = [f"mer_hostile{number}" for number in range(merchants)]
    with psycopg.connect(postgres.superuser) as connection:
        for name in names:
            urls = [receivers.url(behaviors[number % len(behaviors)], number) for number in range(ENDPOINTS)]
            add_endpoints(connection, name, urls)
    for name in names:
        add_events(postgres, name, events)


def delays(postgres: Postgres, receivers: Crowd, number: int) -> list[float]:
    """Create events of an honest merchant one after the other; return how many seconds each took to arrive, sorted."""
    merchant = f"mer_honest{next(_numbers)}"
    with psycopg.connect(postgres.superuser) as connection:
        add_endpoints(connection, merchant, [receivers.url("honest")])
    created: dict[str, float] = {}
    for _ in range(number):
        (event,) = add_events(postgres, merchant, 1)
        created[event] = time.monotonic()
        time.sleep(PAUSE)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: created.keys() <= receivers.arrived.keys(), "every event of the honest merchant", timeout=8)
    end = time.monotonic()
    return sorted(receivers.arrived.get(event, end) - at for event, at in created.items())


@pytest.mark.parametrize(
    ("behaviors", "merchants", "events", "workers"),
    [
        pytest.param(["hang"], 1, 30, 1, id="hang"),
        pytest.param(["slow"], 1, 30, 1, id="slow"),
        pytest.param(["drip"], 1, 30, 1, id="drip"),
        pytest.param(["reset"], 1, 30, 1, id="reset"),
        pytest.param(["hang"], 1, 1000, 1, id="queue"),
        pytest.param(["hang", "slow", "drip", "reset"], 20, 10, 1, id="many"),
        # Fewer: two workers in one process share its interpreter lock. The case before is the larger one.
        pytest.param(["hang", "slow", "drip", "reset"], 9, 10, 2, id="many, two workers"),
    ],
)
def test_nobody_delays_another_merchant(
    postgres: Postgres,
    caplog: pytest.LogCaptureFixture,
    behaviors: list[str],
    merchants: int,
    events: int,
    workers: int,
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(workers):
            stack.enter_context(worker(postgres))
        receivers = stack.enter_context(crowd())
        alone = delays(postgres, receivers, 5)
        hostile(postgres, receivers, behaviors, merchants=merchants, events=events)
        wait_until(lambda: receivers.requests, "the hostile receivers to be called", timeout=10)
        found = delays(postgres, receivers, EVENTS)
        print(f"delays: {alone[-1]:.2f} s alone, then up to {found[-1]:.2f} s; at once: {receivers.most}")  # noqa: T201 - shown with -s
        failures = [(record.__dict__.get("loop"), record.__dict__.get("reason")) for record in caplog.records]
        # The median: one stall of a busy machine is not the merchant's neighbour, who would delay every event.
        delayed = found[len(found) // 2] - alone[-1]
        assert delayed < PROMISED, f"more than this machine takes in any case; failures: {failures}"


def test_a_poison_among_many_is_contained(postgres: Postgres) -> None:
    """A message that raises inside our own code: all others arrive, it is seen, and arrives after a repair alone."""
    with worker(postgres) as context, crowd() as receivers:
        with psycopg.connect(postgres.superuser) as connection:
            add_endpoints(connection, "mer_many", [receivers.url("honest", number) for number in range(ENDPOINTS)])
            connection.execute("UPDATE webhook_endpoints SET secret = 'whsec_*' WHERE url LIKE '%/honest/7'")
        events = add_events(postgres, "mer_many", MANY // ENDPOINTS)

        def left(condition: str) -> int:
            with psycopg.connect(postgres.superuser) as connection:
                joined = "webhook_messages m JOIN webhook_endpoints e ON e.id = m.endpoint_id"
                row = connection.execute(f"SELECT count(*) FROM {joined} WHERE {condition}").fetchone()
                assert row is not None
                return int(row[0])

        delivered = len(events) * (ENDPOINTS - 1)
        wait_until(lambda: left("m.status = 'delivered'") == delivered, "all others", timeout=600)
        assert left("url LIKE '%/honest/7' AND attempts > 0") > 0
        housekeeping.measure_webhook_backlog(context)
        (backlog,) = (each["WebhookBacklog"] for each in context.metrics.drain() if "WebhookBacklog" in each)
        assert backlog[0] > 0, "the operator sees what is left"
        with psycopg.connect(postgres.superuser) as connection:
            connection.execute("UPDATE webhook_endpoints SET secret = %s WHERE url LIKE '%%/honest/7'", [new_secret()])
            connection.execute("UPDATE webhook_messages SET next_attempt_at = now() WHERE status = 'pending'")
        wait_until(lambda: left("m.status <> 'delivered'") == 0, "the rest", timeout=600)
