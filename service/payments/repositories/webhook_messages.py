"""Webhook messages: events fanned out to endpoints, claimed for delivery, and the delivery log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from payments.domain.ids import Prefix, lowest_id_at
from payments.domain.tenancy import TenantScope
from payments.repositories.cursors import STABLE, Position
from payments.repositories.database import Connection
from payments.repositories.scope import scope


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


def fan_out(tx: Connection, after: Position, *, limit: int, message_ids: Sequence[str]) -> Position | None:
    """Create a message for each endpoint subscribed to one of the next ``limit`` events.

    Reads only events that no running transaction can still precede. ``message_ids`` are new ids, assigned in order;
    events whose endpoints need more of them wait for the next call.

    Returns:
        The position of the last event fanned out, ``None`` if there was none.
    """
    row = tx.execute(
        f"""
        WITH batch AS (
            SELECT xid, id, merchant_id, livemode, type, created_at FROM events
            WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND {STABLE} ORDER BY events.xid, id LIMIT %(limit)s
        ), subscribed AS (
            SELECT batch.xid, batch.id, endpoint.merchant_id, endpoint.livemode, endpoint.id AS endpoint_id,
                endpoint.status, row_number() OVER (ORDER BY batch.xid, batch.id, endpoint.id) AS number
            FROM batch JOIN webhook_endpoints AS endpoint USING (merchant_id, livemode)
            WHERE endpoint.deleted_at IS NULL AND endpoint.created_at <= batch.created_at
                AND endpoint.event_types && ARRAY['*', batch.type]
        ), overflow AS (
            SELECT xid, id FROM subscribed WHERE number > cardinality(%(ids)s::text[]) ORDER BY number LIMIT 1
        ), done AS (
            SELECT xid, id FROM batch
            WHERE NOT EXISTS (SELECT FROM overflow WHERE (overflow.xid, overflow.id) <= (batch.xid, batch.id))
        ), inserted AS (
            INSERT INTO webhook_messages (id, merchant_id, livemode, endpoint_id, event_id, status, next_attempt_at)
            SELECT (%(ids)s::text[])[number], merchant_id, livemode, endpoint_id, subscribed.id,
                CASE status WHEN 'enabled' THEN 'pending' ELSE 'held' END, now()
            FROM subscribed JOIN done USING (xid, id) ON CONFLICT (endpoint_id, event_id) DO NOTHING
        )
        SELECT xid::text AS xid, id FROM done ORDER BY done.xid DESC, id DESC LIMIT 1
        """,  # noqa: S608 - column names only
        {"xid": after.xid, "id": after.id, "limit": limit, "ids": list(message_ids)},
    ).fetchone()
    return None if row is None else Position(**row)


def claim_due(
    tx: Connection, *, limit: int, per_endpoint: int, busy: Mapping[str, int], lease: timedelta
) -> Sequence[ClaimedMessage]:
    """Claim up to ``limit`` due messages until ``lease`` ends, longest due first.

    An endpoint gets at most ``per_endpoint`` at once, and one while it is failing, less the ``busy`` deliveries of this
    worker to it. So an endpoint that hangs or has a long queue takes little from the others.
    """
    with tx.cursor(row_factory=class_row(ClaimedMessage)) as cursor:
        return cursor.execute(
            """
            WITH RECURSIVE waiting (endpoint_id) AS (  -- endpoints with something pending, by skipping along the index
                SELECT min(endpoint_id) FROM webhook_messages WHERE status = 'pending'
                UNION ALL
                SELECT (SELECT min(endpoint_id) FROM webhook_messages
                        WHERE status = 'pending' AND endpoint_id > waiting.endpoint_id)
                FROM waiting WHERE endpoint_id IS NOT NULL
            ), due AS (
                SELECT message.id, message.next_attempt_at FROM waiting
                JOIN webhook_endpoints AS endpoint ON endpoint.id = waiting.endpoint_id
                CROSS JOIN LATERAL (
                    SELECT id, next_attempt_at FROM webhook_messages
                    WHERE endpoint_id = waiting.endpoint_id AND status = 'pending' AND next_attempt_at <= now()
                    ORDER BY next_attempt_at LIMIT greatest(0,
                        CASE WHEN endpoint.failing_since IS NULL THEN %(per_endpoint)s ELSE 1 END
                        - coalesce((%(busy)s ->> waiting.endpoint_id)::integer, 0))
                ) AS message
                ORDER BY next_attempt_at LIMIT %(limit)s
            ), locked AS (
                SELECT id FROM webhook_messages WHERE id IN (SELECT id FROM due) AND status = 'pending'
                    AND next_attempt_at <= now() FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE webhook_messages AS message
            SET next_attempt_at = clock_timestamp() + %(lease)s, generation = message.generation + 1
            FROM locked, webhook_endpoints AS endpoint, events AS event
            WHERE message.id = locked.id AND event.id = message.event_id
                AND (endpoint.merchant_id, endpoint.livemode, endpoint.id)
                    = (message.merchant_id, message.livemode, message.endpoint_id)
            RETURNING message.id, message.merchant_id, message.livemode, message.endpoint_id, message.event_id,
                event.type AS event_type, event.payment_id, message.attempts, message.generation, event.body,
                endpoint.url, endpoint.secret,
                CASE WHEN endpoint.previous_secret_until > now() THEN endpoint.previous_secret END AS previous_secret
            """,
            {"limit": limit, "per_endpoint": per_endpoint, "busy": Jsonb(dict(busy)), "lease": lease},
        ).fetchall()


def settle(tx: Connection, message: ClaimedMessage, *, status: str, attempts: int, delay: timedelta | None) -> bool:
    """Record the result of a delivery, and retry after ``delay``, if any; ``False`` if the claim was lost."""
    changed = tx.execute(
        """
        UPDATE webhook_messages SET status = %(status)s, attempts = %(attempts)s,
            next_attempt_at = CASE WHEN %(delay)s::interval IS NULL THEN next_attempt_at ELSE now() + %(delay)s END,
            settled_at = CASE WHEN %(delay)s::interval IS NULL THEN now() END
        WHERE id = %(id)s AND generation = %(generation)s AND status = 'pending'
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


def redeliver(tx: Connection, tenant: TenantScope, event_id: str, *, message_ids: Sequence[str]) -> Sequence[str]:
    """Deliver an event again to every enabled endpoint subscribed to it; returns their ids."""
    rows = tx.execute(
        """
        INSERT INTO webhook_messages (id, merchant_id, livemode, endpoint_id, event_id, status, next_attempt_at)
        SELECT (%(ids)s::text[])[row_number() OVER (ORDER BY endpoint.id)], endpoint.merchant_id, endpoint.livemode,
            endpoint.id, event.id, 'pending', now()
        FROM events AS event JOIN webhook_endpoints AS endpoint USING (merchant_id, livemode)
        WHERE event.id = %(event_id)s AND event.merchant_id = %(merchant_id)s AND event.livemode = %(livemode)s
            AND endpoint.deleted_at IS NULL AND endpoint.status = 'enabled'
            AND endpoint.event_types && ARRAY['*', event.type]
        ON CONFLICT (endpoint_id, event_id) DO UPDATE SET status = 'pending', attempts = 0, next_attempt_at = now(),
            settled_at = NULL, generation = webhook_messages.generation + 1
        RETURNING endpoint_id
        """,
        scope(tenant, ids=list(message_ids), event_id=event_id),
    )
    return sorted(row["endpoint_id"] for row in rows)


@dataclass(frozen=True, kw_only=True)
class DeliveryBacklog:
    """The due messages that are not delivered yet, for metrics and alarms."""

    messages: int
    #: Seconds since the oldest became due.
    oldest_age: float


def backlog(tx: Connection) -> DeliveryBacklog:
    """Return the backlog of deliveries."""
    row = tx.execute(
        "SELECT count(*) AS messages,"
        " coalesce(extract(epoch FROM now() - min(next_attempt_at)), 0)::float8 AS oldest_age"
        " FROM webhook_messages WHERE status = 'pending' AND next_attempt_at <= now()"
    ).fetchone()
    return DeliveryBacklog(**row) if row else DeliveryBacklog(messages=0, oldest_age=0.0)


def delete_old(tx: Connection, *, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` log entries, settled messages and held messages each, all from before ``before``.

    The ids are an array, not a subquery: the planner then uses the primary key, however many it expects.

    Returns:
        How many rows were deleted.
    """
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
