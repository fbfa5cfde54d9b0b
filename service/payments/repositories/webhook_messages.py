"""Webhook messages: events fanned out to endpoints, claimed for delivery, and the delivery log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from payments.domain.ids import Prefix, lowest_id_at, new_id
from payments.domain.tenancy import TenantScope
from payments.repositories import clock
from payments.repositories.connection import Connection
from payments.repositories.fan_out import Subscription
from payments.repositories.scope import scope

#: Common table expression: the endpoints with something pending, found by skipping along the index.
WAITING_ENDPOINTS = """
    waiting (endpoint_id) AS (
        SELECT min(endpoint_id) FROM webhook_messages WHERE status = 'pending'
        UNION ALL
        SELECT (SELECT min(endpoint_id) FROM webhook_messages
                WHERE status = 'pending' AND endpoint_id > waiting.endpoint_id)
        FROM waiting WHERE endpoint_id IS NOT NULL
    )
"""
#: Due messages that are counted, of each endpoint: counting more would take too long.
_MOST_COUNTED = 1000


@dataclass(frozen=True, kw_only=True)
class ClaimedMessage:
    """A message that this worker delivers, with everything the delivery needs."""

    id: str
    merchant_id: str
    livemode: bool
    endpoint_id: str
    event_id: str
    event_type: str
    payment_id: str
    attempts: int
    generation: int
    body: str
    url: str
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    #: By the database's clock.
    claimed_at: datetime


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """An entry of the delivery log: one attempt to deliver a message."""

    id: str
    message_id: str
    event_id: str
    event_type: str
    attempt: int
    status_code: int | None
    error: str | None
    duration_ms: int
    created_at: datetime


def insert(tx: Connection, subscriptions: Sequence[Subscription]) -> None:
    """Create the messages that do not exist yet: held if the endpoint is disabled, none if it is deleted.

    The caller holds the locks of the endpoints.
    """
    if not subscriptions:
        return
    now = clock.now(tx)
    tx.execute(
        """
        INSERT INTO webhook_messages (id, merchant_id, livemode, endpoint_id, event_id, status, next_attempt_at)
        SELECT new.id, merchant_id, livemode, endpoint.id, new.event_id,
            CASE endpoint.status WHEN 'enabled' THEN 'pending' ELSE 'held' END, now()
        FROM unnest(%s::text[], %s::text[], %s::text[]) AS new (id, event_id, endpoint_id)
            JOIN webhook_endpoints AS endpoint ON endpoint.id = new.endpoint_id AND endpoint.deleted_at IS NULL
        ON CONFLICT (endpoint_id, event_id) DO NOTHING
        """,
        [
            [new_id(Prefix.WEBHOOK_MESSAGE, now) for _ in subscriptions],
            [each.event_id for each in subscriptions],
            [each.endpoint_id for each in subscriptions],
        ],
    )


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """The deliveries that one worker is making."""

    by_merchant: Mapping[str, int] = field(default_factory=dict)
    by_endpoint: Mapping[str, int] = field(default_factory=dict)


def claim_due(
    tx: Connection, *, free: int, per_endpoint: int, share: int, in_flight: InFlight, lease: timedelta
) -> Sequence[ClaimedMessage]:
    """Claim as many due messages as ``free`` deliveries can be begun, until ``lease`` ends.

    The merchants with the fewest deliveries in flight come first. Each may have one, and more as long as they are
    at most a ``share``-th of what then remains free (dynamic thresholds): whoever comes next finds a place, however
    many others take all they can get. An endpoint may have one, and more as long as they are at most what then
    remains of its merchant's part, up to ``per_endpoint``; one that is failing has no more than one.
    """
    with tx.cursor(row_factory=class_row(ClaimedMessage)) as cursor:
        return cursor.execute(
            f"""
            WITH RECURSIVE {WAITING_ENDPOINTS}, endpoint AS (
                SELECT id, merchant_id,
                    CASE WHEN failing_since IS NULL THEN %(per_endpoint)s ELSE 1 END AS most,
                    coalesce((%(by_endpoint)s ->> id)::integer, 0) AS in_flight,
                    coalesce((%(by_merchant)s ->> merchant_id)::integer, 0) AS in_flight_of_merchant
                FROM waiting JOIN webhook_endpoints ON id = waiting.endpoint_id
                    AND status = 'enabled' AND deleted_at IS NULL
            ), due AS (
                SELECT message.id, next_attempt_at, merchant_id, in_flight_of_merchant,
                    in_flight + row_number() OVER (PARTITION BY endpoint.id ORDER BY next_attempt_at) AS of_endpoint
                FROM endpoint CROSS JOIN LATERAL (
                    SELECT id, next_attempt_at FROM webhook_messages
                    WHERE endpoint_id = endpoint.id AND status = 'pending' AND next_attempt_at <= now()
                    ORDER BY next_attempt_at LIMIT greatest(0, most - in_flight)
                ) AS message
            ), by_merchant AS (
                SELECT *, in_flight_of_merchant + row_number() OVER (
                    PARTITION BY merchant_id ORDER BY of_endpoint, next_attempt_at) AS of_merchant
                FROM due
            ), queued AS (
                SELECT *, %(free)s + 1 - row_number() OVER (ORDER BY of_merchant, next_attempt_at) AS left_free
                FROM by_merchant
            ), locked AS (
                SELECT id FROM webhook_messages WHERE id IN (
                    SELECT id FROM queued WHERE left_free > 0
                        AND (of_merchant = 1 OR of_merchant <= left_free / %(share)s)
                        AND (of_endpoint = 1 OR of_endpoint <= left_free / %(share)s - of_merchant)
                ) AND status = 'pending' AND next_attempt_at <= now() FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE webhook_messages AS message
            SET next_attempt_at = clock_timestamp() + %(lease)s, generation = message.generation + 1
            FROM locked, webhook_endpoints AS endpoint, events AS event
            WHERE message.id = locked.id AND event.id = message.event_id
                AND (endpoint.merchant_id, endpoint.livemode, endpoint.id)
                    = (message.merchant_id, message.livemode, message.endpoint_id)
            RETURNING message.id, message.merchant_id, message.livemode, message.endpoint_id, message.event_id,
                event.type AS event_type, event.payment_id, message.attempts, message.generation, event.body,
                endpoint.url, endpoint.secret, clock_timestamp() AS claimed_at,
                CASE WHEN endpoint.previous_secret_until > now() THEN endpoint.previous_secret END AS previous_secret
            """,  # noqa: S608 - constant text only
            {
                "free": free,
                "per_endpoint": per_endpoint,
                "share": share,
                "by_merchant": Jsonb(dict(in_flight.by_merchant)),
                "by_endpoint": Jsonb(dict(in_flight.by_endpoint)),
                "lease": lease,
            },
        ).fetchall()


def settle(tx: Connection, message: ClaimedMessage, *, status: str, attempts: int, delay: timedelta | None) -> bool:
    """Record the result of a delivery, and retry after ``delay``, if any; ``False`` if the claim was lost.

    It is lost, too, once the message has followed its endpoint.
    """
    changed = tx.execute(
        """
        UPDATE webhook_messages SET status = %(status)s, attempts = %(attempts)s,
            next_attempt_at = CASE WHEN %(delay)s::interval IS NULL THEN next_attempt_at ELSE now() + %(delay)s END,
            settled_at = CASE WHEN %(delay)s::interval IS NULL THEN now() END
        WHERE id = %(id)s AND generation = %(generation)s AND settled_at IS NULL
        """,
        {"status": status, "attempts": attempts, "delay": delay, "id": message.id, "generation": message.generation},
    )
    return changed.rowcount == 1


def log_delivery(tx: Connection, tenant: TenantScope, endpoint_id: str, delivery: Delivery) -> None:
    """Append to the delivery log."""
    tx.execute(
        """
        INSERT INTO webhook_deliveries (id, merchant_id, livemode, endpoint_id, message_id, event_id, event_type,
            attempt, status_code, error, duration_ms, created_at)
        VALUES (%(id)s, %(merchant_id)s, %(livemode)s, %(endpoint_id)s, %(message_id)s, %(event_id)s, %(event_type)s,
            %(attempt)s, %(status_code)s, %(error)s, %(duration_ms)s, %(created_at)s)
        """,
        scope(tenant, **vars(delivery), endpoint_id=endpoint_id),
    )


def list_deliveries(
    tx: Connection, tenant: TenantScope, endpoint_id: str, *, before: str | None, limit: int
) -> Sequence[Delivery]:
    """Return up to ``limit`` attempts to deliver to an endpoint, newest first, from the one after ``before``."""
    with tx.cursor(row_factory=class_row(Delivery)) as cursor:
        return cursor.execute(
            "SELECT id, message_id, event_id, event_type, attempt, status_code, error, duration_ms, created_at"  # noqa: S608 - column names only
            " FROM webhook_deliveries WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s"
            " AND endpoint_id = %(endpoint_id)s"
            + (" AND id < %(before)s" if before else "")
            + " ORDER BY id DESC LIMIT %(limit)s",
            scope(tenant, endpoint_id=endpoint_id, before=before, limit=limit),
        ).fetchall()


def subscriptions(tx: Connection, tenant: TenantScope, event_id: str) -> Sequence[Subscription]:
    """Return the enabled endpoints of ``tenant`` that subscribe to an event, each with the event."""
    rows = tx.execute(
        """
        SELECT event.id AS event_id, endpoint.id AS endpoint_id
        FROM events AS event JOIN webhook_endpoints AS endpoint USING (merchant_id, livemode)
        WHERE event.id = %(event_id)s AND event.merchant_id = %(merchant_id)s AND event.livemode = %(livemode)s
            AND endpoint.deleted_at IS NULL AND endpoint.status = 'enabled'
            AND endpoint.event_types && ARRAY['*', event.type]
        ORDER BY endpoint.id
        """,
        scope(tenant, event_id=event_id),
    )
    return [Subscription(**row) for row in rows]


def restart(tx: Connection, tenant: TenantScope, subscribed: Sequence[Subscription]) -> None:
    """Deliver existing messages again, from the start of the retry schedule."""
    tx.execute(
        "UPDATE webhook_messages SET status = 'pending', attempts = 0, next_attempt_at = now(), settled_at = NULL,"
        " generation = generation + 1 WHERE merchant_id = %s AND livemode = %s"
        " AND (event_id, endpoint_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        [
            tenant.merchant_id,
            tenant.livemode,
            [each.event_id for each in subscribed],
            [each.endpoint_id for each in subscribed],
        ],
    )


@dataclass(frozen=True, kw_only=True)
class DeliveryBacklog:
    """The due messages that are not delivered yet, for metrics and alarms."""

    messages: int
    #: Seconds since the oldest became due.
    oldest_age: float


def backlog(tx: Connection) -> DeliveryBacklog:
    """Return the backlog of deliveries; not all messages, if an endpoint has very many."""
    row = tx.execute(
        f"""
        WITH RECURSIVE {WAITING_ENDPOINTS}
        SELECT count(*) AS messages, coalesce(extract(epoch FROM now() - min(next_attempt_at)), 0)::float8 AS oldest_age
        FROM waiting CROSS JOIN LATERAL (
            SELECT next_attempt_at FROM webhook_messages AS message WHERE message.endpoint_id = waiting.endpoint_id
                AND status = 'pending' AND next_attempt_at <= now() ORDER BY next_attempt_at LIMIT %(most)s) AS due
        """,  # noqa: S608 - constant text only
        {"most": _MOST_COUNTED},
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate returns a row
    return DeliveryBacklog(**row)


def delete_old(tx: Connection, *, age: timedelta, limit: int) -> int:
    """Delete up to ``limit`` log entries, settled messages and held messages each, all older than ``age``.

    The ids are an array, not a subquery: the planner then uses the primary key, however many it expects.

    Returns:
        How many rows were deleted.
    """
    before = clock.now(tx) - age
    deleted = tx.execute(
        "DELETE FROM webhook_deliveries WHERE id = ANY(ARRAY("
        "SELECT id FROM webhook_deliveries WHERE id < %s ORDER BY id LIMIT %s))",
        [lowest_id_at(Prefix.WEBHOOK_DELIVERY, before), limit],
    ).rowcount
    deleted += tx.execute(
        "DELETE FROM webhook_messages WHERE id = ANY(ARRAY("
        "SELECT id FROM webhook_messages WHERE settled_at < %s ORDER BY settled_at LIMIT %s FOR UPDATE SKIP LOCKED))",
        [before, limit],
    ).rowcount
    # Their endpoint was not enabled in all this time. Few other rows are left below this id.
    deleted += tx.execute(
        "DELETE FROM webhook_messages WHERE id = ANY(ARRAY(SELECT id FROM webhook_messages"
        " WHERE id < %s AND status = 'held' ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED))",
        [lowest_id_at(Prefix.WEBHOOK_MESSAGE, before), limit],
    ).rowcount
    return deleted
