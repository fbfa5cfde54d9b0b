"""Events: append-only, numbered within a payment, read in an order that no late commit can disturb."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from payments.domain.operations import TenantScope
from payments.repositories.database import Connection

_COLUMNS = "id, xid::text AS xid, type, payment_id, sequence, body, created_at"


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """An event as it is stored; ``body`` is the JSON that is listed and delivered."""

    id: str
    #: Transaction that wrote it: with the id, its place in commit-safe order.
    xid: str
    type: str
    payment_id: str
    sequence: int
    body: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """An event about to be stored."""

    id: str
    type: str
    payment_id: str
    sequence: int
    api_version: str
    body: str


def insert(tx: Connection, tenant: TenantScope, event: NewEvent) -> None:
    """Store an event. This is the outbox too: the worker fans it out to webhook endpoints."""
    tx.execute(
        "INSERT INTO events (id, merchant_id, livemode, type, payment_id, sequence, api_version, body)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            event.id,
            tenant.merchant_id,
            tenant.livemode,
            event.type,
            event.payment_id,
            event.sequence,
            event.api_version,
            event.body,
        ],
    )


def get(tx: Connection, tenant: TenantScope, event_id: str) -> StoredEvent | None:
    """One event of ``tenant``."""
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM events WHERE id = %s AND merchant_id = %s AND livemode = %s",  # noqa: S608
        [event_id, tenant.merchant_id, tenant.livemode],
    ).fetchone()
    return None if row is None else StoredEvent(**row)


def list_for_payment(
    tx: Connection, tenant: TenantScope, payment_id: str, *, before: int | None, limit: int
) -> Sequence[StoredEvent]:
    """Up to ``limit`` events of a payment, newest first: their numbers are given under the payment's lock."""
    rows = tx.execute(
        f"""
        SELECT {_COLUMNS} FROM events WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s
            AND payment_id = %(payment_id)s {"AND sequence < %(before)s" if before is not None else ""}
        ORDER BY sequence DESC LIMIT %(limit)s
        """,  # noqa: S608
        {
            "merchant_id": tenant.merchant_id,
            "livemode": tenant.livemode,
            "payment_id": payment_id,
            "before": before,
            "limit": limit,
        },
    )
    return [StoredEvent(**row) for row in rows]


def list_for_tenant(
    tx: Connection, tenant: TenantScope, *, before: tuple[str, str] | None, limit: int
) -> Sequence[StoredEvent]:
    """Up to ``limit`` events of ``tenant``, newest first by (xid, id).

    Only what no running transaction can still get in front of is shown, so that a reader who stops at the newest event
    it knows misses none.
    """
    rows = tx.execute(
        f"""
        SELECT {_COLUMNS} FROM events WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s
            AND xid < pg_snapshot_xmin(pg_current_snapshot())
            {"AND (xid, id) < (%(xid)s::xid8, %(id)s)" if before else ""}
        ORDER BY events.xid DESC, id DESC LIMIT %(limit)s
        """,  # noqa: S608
        {
            "merchant_id": tenant.merchant_id,
            "livemode": tenant.livemode,
            "xid": before and before[0],
            "id": before and before[1],
            "limit": limit,
        },
    )
    return [StoredEvent(**row) for row in rows]
