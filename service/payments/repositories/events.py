"""Events: append-only, numbered per payment, read in an order that a late commit cannot disturb."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection
from payments.repositories.cursors import STABLE
from payments.repositories.scope import scope

_COLUMNS = "id, xid::text AS xid, type, payment_id, sequence, body, created_at"
#: Said twice: the planner takes any type to be as frequent as the average, and where nearly all events are of one type
#: it would look for a rare one among all. A range it takes to be narrow, which only the index of types makes use of.
_OF_TYPE = "AND type = wanted AND type BETWEEN wanted AND wanted"


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """An event as stored; ``body`` is the JSON that is listed and delivered."""

    id: str
    #: The transaction that wrote it: together with the id, its place in commit-safe order.
    xid: str
    type: str
    payment_id: str
    sequence: int
    body: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """An event to be stored."""

    id: str
    type: str
    payment_id: str
    sequence: int
    api_version: str
    body: str


def insert(tx: Connection, tenant: TenantScope, event: NewEvent) -> None:
    """Store an event. The table is the outbox too: the worker fans events out to webhook endpoints."""
    tx.queue(
        """
        INSERT INTO events (id, merchant_id, livemode, type, payment_id, sequence, api_version, body)
        VALUES (%(id)s, %(merchant_id)s, %(livemode)s, %(type)s, %(payment_id)s, %(sequence)s, %(api_version)s,
            %(body)s)
        """,
        scope(tenant, **vars(event)),
    )


def get(tx: Connection, tenant: TenantScope, event_id: str) -> StoredEvent | None:
    """Return one event of ``tenant``."""
    row = tx.execute(
        f"SELECT {_COLUMNS} FROM events WHERE id = %s AND merchant_id = %s AND livemode = %s",  # noqa: S608 - column names only
        [event_id, tenant.merchant_id, tenant.livemode],
    ).fetchone()
    return None if row is None else StoredEvent(**row)


def list_for_payment(
    tx: Connection, tenant: TenantScope, payment_id: str, *, before: int | None, limit: int
) -> Sequence[StoredEvent]:
    """Return up to ``limit`` events of a payment, newest first, from the one after the sequence number ``before``."""
    rows = tx.execute(
        f"""
        SELECT {_COLUMNS} FROM events WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s
            AND payment_id = %(payment_id)s {"AND sequence < %(before)s" if before is not None else ""}
        ORDER BY sequence DESC LIMIT %(limit)s
        """,  # noqa: S608 - column names only
        scope(tenant, payment_id=payment_id, before=before, limit=limit),
    )
    return [StoredEvent(**row) for row in rows]


def list_for_tenant(
    tx: Connection,
    tenant: TenantScope,
    *,
    before: tuple[str, str] | None,
    limit: int,
    types: Sequence[str] | None = None,
) -> Sequence[StoredEvent]:
    """Return up to ``limit`` events of ``tenant``, newest first by (xid, id), from the one after ``before``.

    With ``types``, only events of these: each is looked for by itself, since a rare one may be years back.

    Events that a running transaction could still precede are left out, so that a reader who stops at the newest event
    it knows misses none.
    """
    xid, event_id = before or (None, None)
    newest = f"""
        SELECT * FROM events WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND {STABLE}
            {"AND (xid, id) < (%(xid)s::xid8, %(id)s)" if before else ""}
            {_OF_TYPE if types else ""}
        ORDER BY xid DESC, id DESC LIMIT %(limit)s
    """  # noqa: S608 - constant text only
    found = f"unnest(%(types)s::text[]) AS wanted CROSS JOIN LATERAL ({newest})" if types else f"({newest})"
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM {found} AS found ORDER BY found.xid DESC, id DESC LIMIT %(limit)s",  # noqa: S608 - constant text only
        scope(tenant, xid=xid, id=event_id, limit=limit, types=types and list(types)),
    )
    return [StoredEvent(**row) for row in rows]
