"""Rotation, redelivery, deletion and the number of endpoints."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from standardwebhooks.webhooks import Webhook

from payments.core.problems import ValidationFailed
from payments.services import webhook_endpoints
from payments.services.context import Context
from payments.services.webhook_delivery import fan_out
from payments.services.webhook_endpoints import MAX_ENDPOINTS
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.fixtures import Postgres
from tests.service.receivers import Receiver
from tests.service.seed import add_event
from tests.service.services.webhooks.rig import ALICE, BOB, new_request, register, run


def test_both_secrets_sign_during_a_rotation(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    old = register(context, shop.url)
    response = webhook_endpoints.rotate_secret(
        context, ALICE, new_request(), endpoint_id=old["id"], overlap=timedelta(hours=1)
    )
    new = json.loads(response.body)
    assert new["secret"] not in (None, old["secret"])
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    for secret in (old["secret"], new["secret"]):
        Webhook(secret).verify(shop.requests[0].body.decode(), shop.requests[0].headers)

    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_endpoints SET previous_secret_until = now()")
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    assert len(shop.requests[1].headers["webhook-signature"].split()) == 1
    Webhook(new["secret"]).verify(shop.requests[1].body.decode(), shop.requests[1].headers)


def test_a_redelivered_event_is_unchanged(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = register(context, shop.url)
    event = add_event(postgres, "mer_alice")
    run(context, deliverer)
    response = webhook_endpoints.redeliver(context, ALICE, new_request(), event_id=event)
    assert json.loads(response.body)["webhook_endpoints"] == [endpoint["id"]]
    run(context, deliverer)
    first, second = shop.requests
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])


def test_a_new_endpoint_can_receive_an_old_event(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    event = add_event(postgres, "mer_alice")
    register(context, shop.url)
    webhook_endpoints.redeliver(context, ALICE, new_request(), event_id=event)
    run(context, deliverer)
    assert [request.headers["webhook-id"] for request in shop.requests] == [event]


def test_a_deleted_endpoint_receives_nothing(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = register(context, shop.url)
    add_event(postgres, "mer_alice")
    fan_out(context)
    webhook_endpoints.delete(context, ALICE, endpoint["id"])
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    assert shop.requests == []


def test_the_number_of_endpoints_is_limited(context: Context) -> None:
    for number in range(MAX_ENDPOINTS):
        register(context, f"http://127.0.0.1:1/{number}")
    with pytest.raises(ValidationFailed, match="Delete one"):
        register(context, "http://127.0.0.1:1/")


def test_the_limit_holds_for_creations_at_once(context: Context, postgres: Postgres) -> None:
    def create(number: int) -> bool:
        try:
            register(context, f"http://127.0.0.1:1/{number}")
        except ValidationFailed:
            return False
        return True

    with ThreadPoolExecutor(40) as pool:
        made = list(pool.map(create, range(40)))
    assert made.count(True) == MAX_ENDPOINTS
    with psycopg.connect(postgres.superuser) as connection:
        assert connection.execute("SELECT count(*) FROM webhook_endpoints").fetchone() == (MAX_ENDPOINTS,)
    register(context, "http://127.0.0.1:1/", BOB)  # nobody else's limit


def test_more_endpoints_than_the_limit_are_served(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left by a release that let creations race, or made before the limit was lowered."""
    monkeypatch.setattr(webhook_endpoints, "MAX_ENDPOINTS", MAX_ENDPOINTS + 5)
    endpoints = [register(context, f"{shop.url}/{number}")["id"] for number in range(MAX_ENDPOINTS + 5)]
    monkeypatch.undo()
    event = add_event(postgres, "mer_alice")
    run(context, deliverer)
    response = webhook_endpoints.redeliver(context, ALICE, new_request(), event_id=event)
    assert json.loads(response.body)["webhook_endpoints"] == sorted(endpoints)
    run(context, deliverer)
    assert Counter(request.path for request in shop.requests) == {
        f"/hook/{number}": 2 for number in range(MAX_ENDPOINTS + 5)
    }
