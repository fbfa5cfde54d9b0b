"""A message has one worker at a time, and a bad endpoint delays no other."""

import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from payments.delivery.sender import Sender
from payments.repositories import webhook_messages
from payments.repositories.webhook_messages import InFlight
from payments.services import webhook_endpoints
from payments.services.context import Context
from payments.services.webhook_delivery import fan_out
from payments.services.webhook_endpoints import MAX_ENDPOINTS
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.fixtures import Postgres
from tests.service.receivers import Receiver, receiver
from tests.service.seed import add_event
from tests.service.services.webhooks.rig import (
    ALICE,
    BOB,
    add_merchant,
    let_pass,
    lose_connection,
    make_due,
    messages,
    new_request,
    register,
    run,
)

_PLENTY: dict[str, Any] = {
    "free": 1000,
    "per_endpoint": 4,
    "share": 8,
    "in_flight": InFlight(),
    "lease": timedelta(seconds=60),
}


def _claim(context: Context, **changes: object) -> Any:
    values: dict[str, Any] = {**_PLENTY, **changes}
    with context.database.transaction() as tx:
        found = webhook_messages.claim_due(tx, **values)
        tx.commit()
    return found


def test_a_claim_lasts_until_its_lease_ends(context: Context, postgres: Postgres) -> None:
    register(context, "http://127.0.0.1:1/")
    add_event(postgres, "mer_alice")
    fan_out(context)
    (first,) = _claim(context, lease=timedelta(seconds=60))
    let_pass(postgres, timedelta(seconds=50))
    assert _claim(context) == []
    let_pass(postgres, timedelta(seconds=10))
    (second,) = _claim(context)
    with context.database.transaction() as tx:
        assert not webhook_messages.settle(tx, first, status="delivered", attempts=1, delay=None)
        assert webhook_messages.settle(tx, second, status="delivered", attempts=1, delay=None)
        tx.commit()


def test_two_workers_claim_different_messages(context: Context, postgres: Postgres) -> None:
    for number in range(3):
        register(context, f"http://127.0.0.1:1/{number}")
    add_event(postgres, "mer_alice")
    fan_out(context)
    with context.database.transaction() as one, context.database.transaction() as other:
        first = {message.id for message in webhook_messages.claim_due(one, **{**_PLENTY, "free": 1})}
        second = {message.id for message in webhook_messages.claim_due(other, **_PLENTY)}
    assert len(first) == 1
    assert len(second) <= 2
    assert not first & second


def test_concurrent_deliveries_per_endpoint_are_limited(context: Context, postgres: Postgres) -> None:
    good = register(context, "http://127.0.0.1:1/good")["id"]
    failing = register(context, "http://127.0.0.1:1/failing")["id"]
    busy = register(context, "http://127.0.0.1:1/busy")["id"]
    for _ in range(6):
        add_event(postgres, "mer_alice")
    fan_out(context)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_endpoints SET failing_since = now() WHERE id = %s", [failing])
    in_flight = InFlight(by_merchant={"mer_alice": 4}, by_endpoint={busy: 4})
    claimed = [message.endpoint_id for message in _claim(context, in_flight=in_flight)]
    assert (claimed.count(good), claimed.count(failing), claimed.count(busy)) == (4, 1, 0)


def test_a_quick_endpoint_waits_for_no_look(context: Context, postgres: Postgres, shop: Receiver) -> None:
    """An endpoint has four deliveries at once; their end wakes the loop that claims the next ones."""
    woken = threading.Event()
    pool = DeliveryPool(context, Sender(allow_local=True), more=woken.set)
    register(context, shop.url)

    def deliver(events: int) -> int:
        before = len(shop.requests)
        for _ in range(events):
            add_event(postgres, "mer_alice")
        fan_out(context)
        pool.run()
        pool.wait_until_idle()
        return len(shop.requests) - before

    assert deliver(1) == 1
    assert not woken.is_set(), "nothing can wait behind a single one"
    assert deliver(6) == 4
    assert woken.wait(10)
    assert deliver(0) == 2
    pool.close()


def test_a_hanging_endpoint_does_not_delay_another(context: Context, postgres: Postgres, shop: Receiver) -> None:
    released = threading.Event()
    deliverer = DeliveryPool(context, Sender(allow_local=True, timeout=timedelta(minutes=1)), threads=8)
    with receiver() as hanging:
        hanging.misbehave = lambda _: released.wait(60)
        register(context, hanging.url)
        for _ in range(20):
            add_event(postgres, "mer_alice")
        register(context, shop.url, BOB)
        add_event(postgres, "mer_bob")
        while fan_out(context):
            pass
        deliverer.run()
        assert shop.arrived.wait(60), "served while the other still hangs"
        assert len(hanging.requests) <= 4
        released.set()
        deliverer.close()


def test_a_place_is_left_for_whoever_comes_next(context: Context, postgres: Postgres) -> None:
    """However many merchants take all they can get, a claim at a time."""
    hostile = [f"mer_{number}" for number in range(20)]
    principals = [replace(ALICE, merchant_id=merchant, key_id=f"key_{merchant}") for merchant in hostile]
    with psycopg.connect(postgres.app) as connection:
        for principal in principals:
            add_merchant(connection, principal)
    for principal in principals:
        for number in range(4):
            register(context, f"http://127.0.0.1:1/{number}", principal)
        for _ in range(8):
            add_event(postgres, principal.merchant_id)
    while fan_out(context):
        pass
    size, merchants, endpoints = 64, Counter[str](), Counter[str]()
    while claimed := _claim(
        context, free=size - merchants.total(), in_flight=InFlight(by_merchant=merchants, by_endpoint=endpoints)
    ):
        merchants.update(message.merchant_id for message in claimed)
        endpoints.update(message.endpoint_id for message in claimed)
    assert set(merchants) == set(hostile)
    assert max(merchants.values()) - min(merchants.values()) <= 1
    assert size - merchants.total() >= size // 8, "some are still free"
    register(context, "http://127.0.0.1:1/", BOB)
    add_event(postgres, "mer_bob")
    while fan_out(context):
        pass
    free, in_flight = size - merchants.total(), InFlight(by_merchant=merchants, by_endpoint=endpoints)
    assert [message.merchant_id for message in _claim(context, free=free, in_flight=in_flight)] == ["mer_bob"]


def test_slow_endpoints_leave_a_place_for_others(context: Context, postgres: Postgres) -> None:
    for number in range(MAX_ENDPOINTS - 1):
        register(context, f"http://127.0.0.1:1/{number}")
    for _ in range(10):
        add_event(postgres, "mer_alice")
    while fan_out(context):
        pass
    endpoints = Counter[str]()
    while claimed := _claim(
        context,
        free=256 - endpoints.total(),
        in_flight=InFlight(by_merchant={"mer_alice": endpoints.total()}, by_endpoint=endpoints),
    ):
        endpoints.update(message.endpoint_id for message in claimed)
    good = register(context, "http://127.0.0.1:1/good")["id"]
    add_event(postgres, "mer_alice")
    while fan_out(context):
        pass
    in_flight = InFlight(by_merchant={"mer_alice": endpoints.total()}, by_endpoint=endpoints)
    assert good in [each.endpoint_id for each in _claim(context, free=256 - endpoints.total(), in_flight=in_flight)]


def test_what_cannot_be_sent_fails_by_the_schedule(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect of ours that one message brings to light is seen, ends, and delays no other message."""
    poisoned = register(context, shop.url + "/poisoned")["id"]
    register(context, shop.url)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_endpoints SET secret = 'whsec_*' WHERE id = %s", [poisoned])
    event = add_event(postgres, "mer_alice")
    run(context, deliverer)
    assert [request.path for request in shop.requests] == ["/hook"]
    assert sorted(messages(postgres)) == [(event, "delivered", 1), (event, "pending", 1)]
    (entry,) = webhook_endpoints.list_deliveries(context, ALICE, poisoned, before=None, limit=10)
    assert (entry.status_code, entry.error) == (None, "The message could not be sent.")
    assert "webhook message could not be sent" in caplog.text
    webhook_endpoints.rotate_secret(context, ALICE, new_request(), endpoint_id=poisoned, overlap=timedelta(0))
    make_due(postgres)
    run(context, deliverer)
    assert [request.path for request in shop.requests] == ["/hook", "/hook/poisoned"]


def test_a_delivery_that_is_not_recorded_is_repeated(
    context: Context,
    deliverer: DeliveryPool,
    postgres: Postgres,
    shop: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(context, shop.url)
    event = add_event(postgres, "mer_alice")
    fan_out(context)
    with monkeypatch.context() as broken:
        broken.setattr(webhook_messages, "log_delivery", lose_connection)
        deliverer.run()
        deliverer.wait_until_idle()
    assert messages(postgres) == [(event, "pending", 0)]
    make_due(postgres)
    run(context, deliverer)
    assert [request.headers["webhook-id"] for request in shop.requests] == [event, event]


def test_nothing_is_claimed_while_every_thread_is_busy(context: Context, postgres: Postgres) -> None:
    released = threading.Event()
    with receiver() as slow:
        slow.misbehave = lambda _: released.wait(60)
        register(context, slow.url)
        for _ in range(2):
            add_event(postgres, "mer_alice")
        while fan_out(context):
            pass
        deliverer = DeliveryPool(context, Sender(allow_local=True), threads=1)
        assert deliverer.run()
        assert not deliverer.run()
        assert not deliverer.wait_until_idle(timeout=0)
        released.set()
        deliverer.close()
    assert len(slow.requests) == 1
