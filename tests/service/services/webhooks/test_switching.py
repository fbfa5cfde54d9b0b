"""An endpoint that is switched or deleted takes its messages along, however many there are."""

from collections import Counter

import psycopg
import pytest

from payments.domain import webhooks as domain
from payments.repositories import webhook_endpoints as repository
from payments.services import webhook_endpoints
from payments.services.context import Context
from payments.services.webhook_delivery import fan_out, move_messages
from payments.services.webhook_endpoints import EndpointUpdate
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.fixtures import Postgres
from tests.service.receivers import Receiver
from tests.service.seed import add_event
from tests.service.services.webhooks.rig import ALICE, BOB, messages, register, run

MANY = 10
AT_ONCE = 3


@pytest.fixture
def endpoint(context: Context, postgres: Postgres, shop: Receiver, monkeypatch: pytest.MonkeyPatch) -> str:
    """An endpoint with more messages than follow it at once, among others that are not switched."""
    monkeypatch.setattr(repository, "MOVED_AT_ONCE", AT_ONCE)
    register(context, shop.url, event_types=["refund.failed"])
    found: str = register(context, shop.url)["id"]
    register(context, shop.url, event_types=["refund.failed"])
    for _ in range(MANY):
        add_event(postgres, "mer_alice")
    while fan_out(context):
        pass
    assert statuses(postgres) == {"pending": MANY}
    return found


def statuses(postgres: Postgres) -> Counter[str]:
    return Counter(status for _, status, _ in messages(postgres))


def switch(context: Context, endpoint: str, status: str) -> None:
    webhook_endpoints.update(context, ALICE, endpoint, EndpointUpdate(status=status))


def move_all(context: Context) -> int:
    """What the worker does until all messages have followed; returns in how many transactions."""
    passes = 0
    while move_messages(context):
        passes += 1
    return passes


def test_a_disabled_endpoint_gets_nothing(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, endpoint: str
) -> None:
    switch(context, endpoint, "disabled")
    assert statuses(postgres) == {"held": AT_ONCE, "pending": MANY - AT_ONCE}, "a request moves no more than it can"
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    assert shop.requests == []
    assert move_all(context) == 3, "3, 3 and 1 of what was left"
    assert statuses(postgres) == {"held": MANY + 1}

    switch(context, endpoint, "enabled")
    assert statuses(postgres) == {"pending": AT_ONCE, "held": MANY + 1 - AT_ONCE}
    move_all(context)
    run(context, deliverer)
    assert len({request.headers["webhook-id"] for request in shop.requests}) == len(shop.requests) == MANY + 1
    assert statuses(postgres) == {"delivered": MANY + 1}


def test_two_endpoints_take_their_own_along(
    context: Context, postgres: Postgres, shop: Receiver, endpoint: str
) -> None:
    """In turn: the one that is done first does not end it for the other."""
    other = register(context, shop.url)["id"]
    for _ in range(MANY // 2):
        add_event(postgres, "mer_alice")
    while fan_out(context):
        pass
    for switched in (endpoint, other):
        switch(context, switched, "disabled")
    move_all(context)
    assert statuses(postgres) == {"held": MANY + 2 * (MANY // 2)}


def test_a_deleted_endpoint_drops_everything(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, endpoint: str
) -> None:
    switch(context, endpoint, "disabled")
    webhook_endpoints.delete(context, ALICE, endpoint)
    assert statuses(postgres) == {"failed": AT_ONCE, "held": AT_ONCE, "pending": MANY - 2 * AT_ONCE}
    run(context, deliverer)
    move_all(context)
    assert shop.requests == []
    assert statuses(postgres) == {"failed": MANY}


@pytest.mark.parametrize("status", [410, 500])
def test_the_last_straw_is_held_too(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, endpoint: str, status: int
) -> None:
    """The message that was being delivered is not among the first that move, since it is leased."""
    shop.statuses = [status]
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '4 days'")
        connection.execute("UPDATE webhook_messages SET attempts = %s", [domain.MAX_ATTEMPTS - 1])
    run(context, deliverer)
    assert len(shop.requests) == 1
    assert statuses(postgres) == {"held": AT_ONCE, "pending": MANY - AT_ONCE}
    move_all(context)
    assert statuses(postgres) == {"held": MANY}
    assert webhook_endpoints.get(context, ALICE, endpoint).status == "disabled"


def test_endpoints_take_turns(context: Context, postgres: Postgres, shop: Receiver, endpoint: str) -> None:
    other = register(context, shop.url, BOB)["id"]
    for _ in range(MANY):
        add_event(postgres, "mer_bob")
    fan_out(context)
    switch(context, endpoint, "disabled")
    webhook_endpoints.delete(context, BOB, other)
    assert [move_messages(context), move_messages(context)] == [True, True]
    assert statuses(postgres) == {"held": 2 * AT_ONCE, "failed": 2 * AT_ONCE, "pending": 2 * (MANY - 2 * AT_ONCE)}
