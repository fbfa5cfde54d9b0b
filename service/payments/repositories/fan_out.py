"""Fanning events out: which messages to create next, a share for each merchant."""

from collections.abc import Sequence
from dataclasses import dataclass

from payments.repositories.connection import Connection
from payments.repositories.cursors import STABLE, Position

#: Waiting events that are counted, of each merchant and behind the cursor: counting more would take too long.
_MOST_COUNTED = 1000


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """An event and an endpoint that is to be told of it."""

    event_id: str
    endpoint_id: str


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """Events that are not fanned out yet, for metrics and alarms."""

    events: int
    #: Seconds since the oldest was created.
    oldest_age: float


def enqueue(tx: Connection, after: Position, *, limit: int) -> Position | None:
    """Put the merchants of the next ``limit`` events in the queue; those without an endpoint are passed over.

    Reads only events that no running transaction can still precede.

    Returns:
        The position of the last of these events, ``None`` if there are none.
    """
    row = tx.execute(
        f"""
        WITH batch AS (
            SELECT xid, id, merchant_id, livemode FROM events
            WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND {STABLE} ORDER BY events.xid, id LIMIT %(limit)s
        ), enqueued AS (
            INSERT INTO webhook_backlogs (merchant_id, livemode, next_xid, next_id)
            SELECT DISTINCT ON (merchant_id, livemode) merchant_id, livemode, xid, id FROM batch
            WHERE EXISTS (SELECT FROM webhook_endpoints AS endpoint WHERE deleted_at IS NULL
                AND (endpoint.merchant_id, endpoint.livemode) = (batch.merchant_id, batch.livemode))
            ORDER BY merchant_id, livemode, batch.xid, id
            ON CONFLICT (merchant_id, livemode) DO NOTHING
        )
        SELECT xid::text AS xid, id FROM batch ORDER BY batch.xid DESC, id DESC LIMIT 1
        """,  # noqa: S608 - column names only
        {"xid": after.xid, "id": after.id, "limit": limit},
    ).fetchone()
    return None if row is None else Position(**row)


def dequeue(tx: Connection, upto: Position, *, merchants: int, messages: int) -> Sequence[Subscription] | None:
    """Take the next messages to create of ``merchants`` in the queue: of each about ``messages``, and one event's.

    New merchants come first, then the one that has waited the longest. ``upto`` is what :func:`enqueue` has reached.

    Returns:
        The messages to create, ``None`` if the queue is empty.
    """
    rows = tx.execute(
        """
        WITH served AS (
            SELECT backlog.*, greatest(1, %(messages)s / greatest(1, endpoints.number)) AS share
            FROM webhook_backlogs AS backlog CROSS JOIN LATERAL (
                SELECT count(*) AS number FROM webhook_endpoints AS endpoint WHERE deleted_at IS NULL
                    AND (endpoint.merchant_id, endpoint.livemode) = (backlog.merchant_id, backlog.livemode)
            ) AS endpoints
            ORDER BY served_at NULLS FIRST, next_xid, next_id LIMIT %(merchants)s
        ), next AS (  -- one more than the share: where to go on
            SELECT event.*, share,
                row_number() OVER (PARTITION BY event.merchant_id, event.livemode ORDER BY event.xid, event.id) AS nth
            FROM served CROSS JOIN LATERAL (
                SELECT xid, id, type, created_at, merchant_id, livemode FROM events
                WHERE (events.merchant_id, events.livemode) = (served.merchant_id, served.livemode)
                    AND (xid, id) >= (next_xid, next_id) AND (xid, id) <= (%(xid)s::xid8, %(id)s)
                ORDER BY events.xid, id LIMIT share + 1
            ) AS event
        ), continued AS (
            UPDATE webhook_backlogs AS backlog SET next_xid = next.xid, next_id = next.id, served_at = clock_timestamp()
            FROM next WHERE nth = share + 1
                AND (backlog.merchant_id, backlog.livemode) = (next.merchant_id, next.livemode)
        ), finished AS (
            DELETE FROM webhook_backlogs WHERE (merchant_id, livemode) IN (SELECT merchant_id, livemode FROM served)
                AND (merchant_id, livemode) NOT IN (SELECT merchant_id, livemode FROM next WHERE nth = share + 1)
        )
        SELECT next.id AS event_id, endpoint.id AS endpoint_id
        FROM next LEFT JOIN webhook_endpoints AS endpoint
            ON (endpoint.merchant_id, endpoint.livemode) = (next.merchant_id, next.livemode)
            AND endpoint.deleted_at IS NULL AND endpoint.created_at <= next.created_at
            AND endpoint.event_types && ARRAY['*', next.type]
        WHERE nth <= share ORDER BY next.xid, next.id, endpoint.id
        """,
        {"xid": upto.xid, "id": upto.id, "merchants": merchants, "messages": messages},
    ).fetchall()
    return [Subscription(**row) for row in rows if row["endpoint_id"]] if rows else None


def backlog(tx: Connection) -> Backlog:
    """Return the events that are not fanned out yet, with those that cannot be read yet; not all, if very many."""
    row = tx.execute(
        """
        WITH waiting AS (
            SELECT event.created_at FROM cursors CROSS JOIN LATERAL (
                SELECT created_at FROM events WHERE (events.xid, events.id) > (cursors.xid, cursors.id)
                ORDER BY events.xid, events.id LIMIT %(most)s
            ) AS event WHERE name = 'outbox'
            UNION ALL
            SELECT event.created_at FROM webhook_backlogs AS backlog JOIN cursors ON name = 'outbox'
                CROSS JOIN LATERAL (
                    SELECT created_at FROM events
                    WHERE (events.merchant_id, events.livemode) = (backlog.merchant_id, backlog.livemode)
                        AND (events.xid, events.id) >= (next_xid, next_id)
                        AND (events.xid, events.id) <= (cursors.xid, cursors.id)
                    ORDER BY events.xid, events.id LIMIT %(most)s
                ) AS event
        )
        SELECT count(*) AS events, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_age
        FROM waiting
        """,
        {"most": _MOST_COUNTED},
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate returns a row
    return Backlog(**row)
