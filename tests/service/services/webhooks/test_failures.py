"""A failed delivery is logged and retried, and a dead endpoint is disabled."""

from datetime import timedelta

import psycopg
import pytest

from payments.domain import webhooks as domain
from payments.services import webhook_endpoints
from payments.services.context import Context
from payments.services.webhook_delivery import fan_out
from payments.services.webhook_endpoints import EndpointUpdate
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.fixtures import Postgres
from tests.service.receivers import Receiver, receiver
from tests.service.seed import add_event
from tests.service.services.webhooks.rig import ALICE, make_due, messages, register, run


def test_a_failed_delivery_is_retried_unchanged(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = register(context, shop.url)
    shop.statuses = [500, 302, 200]
    event = add_event(postgres, "mer_alice")
    for attempts, wait in ((1, timedelta(seconds=5)), (2, timedelta(minutes=5))):
        run(context, deliverer)
        assert messages(postgres) == [(event, "pending", attempts)]
        with psycopg.connect(postgres.superuser) as connection:
            row = connection.execute("SELECT next_attempt_at - now() FROM webhook_messages").fetchone()
        assert row is not None
        assert wait - timedelta(seconds=3) < row[0] < wait * 1.3
        make_due(postgres)
    run(context, deliverer)
    assert messages(postgres) == [(event, "delivered", 3)]
    assert len({request.headers["webhook-id"] for request in shop.requests}) == 1
    assert len({request.body for request in shop.requests}) == 1
    log = webhook_endpoints.list_deliveries(context, ALICE, endpoint["id"], before=None, limit=10)
    assert [(entry.attempt, entry.status_code) for entry in log] == [(3, 200), (2, 302), (1, 500)]


def test_a_missing_response_is_logged_with_its_reason(
    context: Context, deliverer: DeliveryPool, postgres: Postgres
) -> None:
    with receiver() as closed:
        pass
    endpoint = register(context, closed.url)
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    (entry,) = webhook_endpoints.list_deliveries(context, ALICE, endpoint["id"], before=None, limit=10)
    assert (entry.status_code, entry.error) == (None, "The connection failed.")
    assert webhook_endpoints.get(context, ALICE, endpoint["id"]).failing_since is not None


def test_an_endpoint_that_takes_nothing_is_disabled(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = register(context, shop.url)
    shop.statuses = [500]
    event = add_event(postgres, "mer_alice")
    fan_out(context)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_messages SET attempts = %s", [domain.MAX_ATTEMPTS - 1])
    run(context, deliverer)
    # It failed only now: the endpoint stays, only this message is given up.
    assert messages(postgres) == [(event, "failed", domain.MAX_ATTEMPTS)]
    assert webhook_endpoints.get(context, ALICE, endpoint["id"]).status == "enabled"

    # A receiver that hangs may be sent more new messages than it can be tried with, so that none is tried to the end.
    second = add_event(postgres, "mer_alice")
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '3 days'")
    run(context, deliverer)
    found = webhook_endpoints.get(context, ALICE, endpoint["id"])
    assert (found.status, found.disabled_reason) == ("disabled", "failing")
    assert (second, "held", 0) in messages(postgres)


def test_410_disables_the_endpoint(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = register(context, shop.url)
    shop.statuses = [410]
    first = add_event(postgres, "mer_alice")
    run(context, deliverer)
    found = webhook_endpoints.get(context, ALICE, endpoint["id"])
    assert (found.status, found.disabled_reason) == ("disabled", "gone")

    second = add_event(postgres, "mer_alice")
    run(context, deliverer)
    assert len(shop.requests) == 1
    assert {(event, status) for event, status, _ in messages(postgres)} == {(first, "held"), (second, "held")}

    shop.statuses = [200]
    webhook_endpoints.update(context, ALICE, endpoint["id"], EndpointUpdate(status="enabled"))
    run(context, deliverer)
    assert {request.headers["webhook-id"] for request in shop.requests[1:]} == {first, second}
    assert {status for _, status, _ in messages(postgres)} == {"delivered"}


def test_a_repaired_receiver_starts_afresh(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    """Otherwise the first failure after it was enabled would disable it again."""
    endpoint = register(context, shop.url)["id"]
    shop.statuses = [500]
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    for status in ("enabled", "disabled"):
        changed = webhook_endpoints.update(context, ALICE, endpoint, EndpointUpdate(status=status))
        assert changed.failing_since is not None, "nothing was repaired"
    webhook_endpoints.update(context, ALICE, endpoint, EndpointUpdate(status="enabled"))
    assert webhook_endpoints.get(context, ALICE, endpoint).failing_since is None


def test_a_success_resets_failing_since(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = register(context, shop.url)
    shop.statuses = [500, 200]
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    assert webhook_endpoints.get(context, ALICE, endpoint["id"]).failing_since is not None
    make_due(postgres)
    run(context, deliverer)
    assert webhook_endpoints.get(context, ALICE, endpoint["id"]).failing_since is None


@pytest.mark.parametrize("status", [200, 500, 410])
def test_a_response_concerns_one_endpoint(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, status: int
) -> None:
    """Not one of the same merchant that fails, nor one that does not."""
    shop.statuses = [status]
    own = register(context, shop.url)["id"]
    failing = register(context, shop.url, event_types=["refund.failed"])["id"]
    register(context, shop.url, event_types=["refund.failed"])
    postgres.execute("UPDATE webhook_endpoints SET failing_since = '2026-01-01' WHERE id = %s", failing)
    others = "SELECT to_jsonb(found) FROM webhook_endpoints AS found WHERE id <> %s ORDER BY id"
    before = postgres.execute(others, own)
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    assert len(shop.requests) == 1
    assert postgres.execute(others, own) == before
