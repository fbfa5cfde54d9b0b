"""The database's clock decides, and what is old is deleted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from standardwebhooks.webhooks import Webhook

from payments.delivery.sender import Sender
from payments.domain import webhooks as domain
from payments.domain.ids import Prefix, created_at, new_id
from payments.services import housekeeping, webhook_delivery, webhook_endpoints
from payments.services.context import Context
from payments.services.webhook_delivery import fan_out
from payments.services.webhook_endpoints import EndpointUpdate
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.fixtures import Postgres
from tests.service.receivers import Receiver
from tests.service.seed import add_event
from tests.service.services.webhooks.rig import ALICE, messages, new_request, register, run


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
def test_a_wrong_clock_changes_nothing(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, hours: int
) -> None:
    wrong = replace(context, now=lambda: datetime.now(UTC) + timedelta(hours=hours))
    endpoint = register(wrong, shop.url)
    webhook_endpoints.rotate_secret(
        wrong, ALICE, new_request(), endpoint_id=endpoint["id"], overlap=timedelta(minutes=9)
    )
    event = add_event(postgres, "mer_alice")
    off = DeliveryPool(wrong, Sender(allow_local=True, timeout=timedelta(seconds=2)), threads=8)
    run(wrong, off)
    (received,) = shop.requests
    assert received.headers["webhook-id"] == event, "created after the endpoint"
    Webhook(endpoint["secret"]).verify(received.body.decode(), received.headers)  # also of the time, to five minutes
    with psycopg.connect(postgres.superuser) as connection:
        for column, table in (("created_at", "webhook_endpoints"), ("created_at", "webhook_deliveries")):
            ((age,),) = connection.execute(f"SELECT now() - {column} FROM {table}").fetchall()
            assert abs(age) < timedelta(minutes=5), table
        ids = [
            row[0]
            for row in connection.execute(
                "SELECT id FROM webhook_messages UNION SELECT id FROM"
                " webhook_deliveries UNION SELECT id FROM webhook_endpoints"
            )
        ]
        assert all(abs(datetime.now(UTC) - created_at(id_)) < timedelta(minutes=5) for id_ in ids)
        connection.execute(
            "UPDATE webhook_endpoints SET previous_secret_until = previous_secret_until - interval '10 min'"
        )
    add_event(postgres, "mer_alice")
    run(wrong, off)
    off.close()
    assert len(shop.requests[1].headers["webhook-signature"].split()) == 1


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
def test_a_wrong_clock_disables_in_time(context: Context, postgres: Postgres, shop: Receiver, hours: int) -> None:
    wrong = replace(context, now=lambda: datetime.now(UTC) + timedelta(hours=hours))
    shop.statuses = [500]
    for left, status in ((timedelta(minutes=30), "enabled"), (timedelta(minutes=-30), "disabled")):
        endpoint = register(context, shop.url)["id"]
        add_event(postgres, "mer_alice")
        fan_out(context)
        with psycopg.connect(postgres.superuser) as connection:
            connection.execute("UPDATE webhook_messages SET attempts = %s", [domain.MAX_ATTEMPTS - 1])
            connection.execute(
                "UPDATE webhook_endpoints SET failing_since = now() - %s", [webhook_delivery.DISABLE_AFTER - left]
            )
        pool = DeliveryPool(wrong, Sender(allow_local=True, timeout=timedelta(seconds=2)), threads=8)
        run(wrong, pool)
        pool.close()
        assert webhook_endpoints.get(context, ALICE, endpoint).status == status
        webhook_endpoints.delete(context, ALICE, endpoint)


@pytest.mark.parametrize("days", [-31, 31], ids=["behind", "ahead"])
def test_a_wrong_clock_deletes_nothing(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver, days: int
) -> None:
    register(context, shop.url)
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    assert not webhook_delivery.clean_up(replace(context, now=lambda: datetime.now(UTC) + timedelta(days=days)))


def _age(postgres: Postgres, time: timedelta) -> None:
    """Let time pass for every message and delivery; their ids tell it too."""
    with psycopg.connect(postgres.superuser) as connection:
        for table, prefix in (
            ("webhook_messages", Prefix.WEBHOOK_MESSAGE),
            ("webhook_deliveries", Prefix.WEBHOOK_DELIVERY),
        ):
            for number, (id_,) in enumerate(connection.execute(f"SELECT id FROM {table}").fetchall()):
                older = new_id(prefix, created_at(id_) - time - timedelta(milliseconds=number))
                connection.execute(f"UPDATE {table} SET id = %s WHERE id = %s", [older, id_])
        connection.execute("UPDATE webhook_messages SET settled_at = settled_at - %s", [time])


def test_deliveries_are_deleted_after_30_days(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = register(context, shop.url)
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    _age(postgres, timedelta(days=29))
    assert not webhook_delivery.clean_up(context)
    _age(postgres, timedelta(days=2))
    assert webhook_delivery.clean_up(context)
    assert webhook_endpoints.list_deliveries(context, ALICE, endpoint["id"], before=None, limit=10) == []
    assert messages(postgres) == []


def test_held_messages_are_deleted_after_30_days(
    context: Context, deliverer: DeliveryPool, postgres: Postgres, shop: Receiver
) -> None:
    endpoint = register(context, shop.url)["id"]
    webhook_endpoints.update(context, ALICE, endpoint, EndpointUpdate(status="disabled"))
    add_event(postgres, "mer_alice")
    run(context, deliverer)
    for days, kept in ((29, 1), (2, 0)):
        _age(postgres, timedelta(days=days))
        webhook_delivery.clean_up(context)
        assert len(messages(postgres)) == kept


def test_the_backlog_is_what_is_due(context: Context, postgres: Postgres) -> None:
    register(context, "http://127.0.0.1:1/")
    add_event(postgres, "mer_alice")
    fan_out(context)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE webhook_messages SET next_attempt_at = now() - interval '1 minute'")
    housekeeping.measure_webhook_backlog(context)
    samples: dict[str, Any] = {name: document[name] for document in context.metrics.drain() for name in document}
    assert samples["WebhookBacklog"] == [1]
    assert samples["WebhookBacklogAge"][0] == pytest.approx(60, abs=10)
