"""Events reach every endpoint that wants them, at least once, in commit-safe order."""

from collections import Counter

import psycopg
import pytest
from standardwebhooks.webhooks import Webhook

from payments.repositories import webhook_messages
from payments.services import webhook_delivery
from payments.services.context import Context
from payments.services.webhook_delivery import fan_out
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.fixtures import Postgres
from tests.service.receivers import Receiver
from tests.service.seed import add_event, add_event_in
from tests.service.services.webhooks.rig import BOB, lose_connection, messages, register, run


def test_an_event_is_delivered_signed_and_unchanged(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = register(context, shop.url)
    event = add_event(postgres, "mer_alice")
    run(context, deliverer)
    (received,) = shop.requests
    assert received.headers["webhook-id"] == event
    assert Webhook(endpoint["secret"]).verify(received.body.decode(), received.headers)["id"] == event
    with psycopg.connect(postgres.superuser) as connection:
        stored = connection.execute("SELECT body FROM events WHERE id = %s", [event]).fetchone()
    assert stored == (received.body.decode(),)
    assert messages(postgres) == [(event, "delivered", 1)]


def test_only_subscribers_of_the_tenant_are_notified(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    register(context, shop.url + "/bob", BOB)
    register(context, shop.url + "/refunds", event_types=["refund.succeeded", "refund.failed"])
    register(context, shop.url + "/all")
    add_event(postgres, "mer_alice", type="payment.succeeded")
    add_event(postgres, "mer_alice", type="refund.failed")
    add_event(postgres, "mer_alice", livemode=True)
    run(context, deliverer)
    assert sorted(request.path for request in shop.requests) == ["/hook/all", "/hook/all", "/hook/refunds"]


def test_events_older_than_the_endpoint_are_not_sent(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    add_event(postgres, "mer_alice")
    register(context, shop.url)
    run(context, deliverer)
    assert shop.requests == []


def test_an_event_that_commits_late_is_not_skipped(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    register(context, shop.url)
    with psycopg.connect(postgres.superuser) as slow:
        late = add_event_in(slow, "mer_alice")
        early = add_event(postgres, "mer_alice")  # a later transaction that commits first
        run(context, deliverer)
        assert shop.requests == []  # it waits for the one that may still come before it
        slow.commit()
    run(context, deliverer)
    assert {request.headers["webhook-id"] for request in shop.requests} == {late, early}
    assert not fan_out(context)


def test_a_merchant_with_many_events_is_served_in_turns(
    context: Context, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_delivery, "_FAN_OUT_MESSAGES", 4)
    for number in range(2):
        register(context, f"http://127.0.0.1:1/{number}")
    register(context, "http://127.0.0.1:1/", BOB)
    many = [add_event(postgres, "mer_alice") for _ in range(7)]
    other = [add_event(postgres, "mer_bob") for _ in range(2)]
    assert fan_out(context)
    assert Counter(event for event, _, _ in messages(postgres)) == Counter(many[:2] * 2 + other)
    assert fan_out(context)
    late = add_event(postgres, "mer_bob")
    assert fan_out(context)
    assert late in [event for event, _, _ in messages(postgres)], "new ones come before what is left of the many"
    while fan_out(context):
        pass
    assert sorted(event for event, _, _ in messages(postgres)) == sorted([*many * 2, *other, late])


def test_what_is_left_of_many_events_survives_a_restart(
    context: Context, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not repeated: every event is fanned out once, whoever goes on."""
    monkeypatch.setattr(webhook_delivery, "_FAN_OUT_MESSAGES", 1)
    register(context, "http://127.0.0.1:1/")
    made = [add_event(postgres, "mer_alice") for _ in range(3)]
    assert fan_out(context)
    with monkeypatch.context() as broken:
        broken.setattr(webhook_messages, "insert", lose_connection)
        with pytest.raises(psycopg.OperationalError):
            fan_out(context)
    assert [event for event, _, _ in messages(postgres)] == made[:1]
    made.append(add_event(postgres, "mer_alice"))
    while fan_out(context):
        pass
    assert sorted(event for event, _, _ in messages(postgres)) == made


def test_a_worker_does_not_wait_while_another_fans_out(context: Context, postgres: Postgres) -> None:
    register(context, "http://127.0.0.1:1/")
    event = add_event(postgres, "mer_alice")
    with psycopg.connect(postgres.app) as other:
        other.execute("SELECT 1 FROM cursors WHERE name = 'outbox' FOR UPDATE")
        assert not fan_out(context)
    assert fan_out(context)
    assert [found for found, _, _ in messages(postgres)] == [event]


def test_events_that_nobody_wants_are_passed_over(context: Context, postgres: Postgres) -> None:
    register(context, "http://127.0.0.1:1/", event_types=["refund.failed"])
    for _ in range(100):
        add_event(postgres, "mer_alice")
    wanted = add_event(postgres, "mer_alice", type="refund.failed")
    add_event(postgres, "mer_nobody")
    while fan_out(context):
        pass
    assert [event for event, _, _ in messages(postgres)] == [wanted]
