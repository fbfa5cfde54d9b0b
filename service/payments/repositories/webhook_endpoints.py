"""Webhook endpoints: where merchants receive events.

An endpoint that is disabled, enabled or deleted takes its messages along. There may be millions, more than one
statement can change in its time, so each transaction moves some of them, and the worker goes on while there are more.
What an endpoint has become counts at once: only an enabled one is delivered to, whatever its messages still say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from psycopg.rows import class_row

from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection
from payments.repositories.scope import scope


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An endpoint, with its signing secrets."""

    merchant_id: str
    livemode: bool
    id: str
    url: str
    description: str | None
    event_types: list[str]
    status: str
    disabled_reason: str | None
    api_version: str
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_secret_until: datetime | None
    failing_since: datetime | None
    created_at: datetime


#: Messages that one transaction has follow their endpoint: some 20 ms.
MOVED_AT_ONCE = 2000
#: First key of the advisory locks of merchants whose endpoints are counted.
_COUNT_LOCK = 7_236_404
_COLUMNS = ", ".join(column.name for column in fields(Endpoint))
_PLACEHOLDERS = ", ".join(f"%({column.name})s" for column in fields(Endpoint))


def insert(tx: Connection, endpoint: Endpoint) -> None:
    """Store a new endpoint."""
    tx.execute(f"INSERT INTO webhook_endpoints ({_COLUMNS}) VALUES ({_PLACEHOLDERS})", vars(endpoint))  # noqa: S608 - column names only


def get(tx: Connection, tenant: TenantScope, endpoint_id: str, *, lock: bool = False) -> Endpoint | None:
    """Return one endpoint of ``tenant``, unless it is deleted."""
    with tx.cursor(row_factory=class_row(Endpoint)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM webhook_endpoints"  # noqa: S608 - column names only
            " WHERE id = %s AND merchant_id = %s AND livemode = %s AND deleted_at IS NULL"
            + (" FOR NO KEY UPDATE" if lock else ""),
            [endpoint_id, tenant.merchant_id, tenant.livemode],
        ).fetchone()


def is_enabled(tx: Connection, tenant: TenantScope, endpoint_id: str) -> bool:
    """Return whether an endpoint is neither disabled nor deleted."""
    found = get(tx, tenant, endpoint_id)
    return found is not None and found.status == "enabled"


def list_for_tenant(tx: Connection, tenant: TenantScope, *, before: str | None, limit: int) -> Sequence[Endpoint]:
    """Return up to ``limit`` endpoints of ``tenant``, newest first, from the one after ``before``."""
    with tx.cursor(row_factory=class_row(Endpoint)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM webhook_endpoints"  # noqa: S608 - column names only
            " WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND deleted_at IS NULL"
            + (" AND id < %(before)s" if before else "")
            + " ORDER BY id DESC LIMIT %(limit)s",
            scope(tenant, before=before, limit=limit),
        ).fetchall()


def lock_count(tx: Connection, tenant: TenantScope) -> None:
    """Let no other transaction add an endpoint of ``tenant`` until this one ends."""
    tx.execute(
        "SELECT pg_advisory_xact_lock(%s, hashtext(%s || %s::text))",
        [_COUNT_LOCK, tenant.merchant_id, tenant.livemode],
    )


def count(tx: Connection, tenant: TenantScope) -> int:
    """Return how many endpoints ``tenant`` has."""
    row = tx.execute(
        "SELECT count(*) AS found FROM webhook_endpoints"
        " WHERE merchant_id = %s AND livemode = %s AND deleted_at IS NULL",
        [tenant.merchant_id, tenant.livemode],
    ).fetchone()
    return int(row["found"]) if row else 0


def lock_for_messages(tx: Connection, endpoint_ids: Sequence[str]) -> None:
    """Lock endpoints against being switched or deleted, so that messages are created for what they then are."""
    tx.execute("SELECT FROM webhook_endpoints WHERE id = ANY(%s) ORDER BY id FOR SHARE", [sorted(set(endpoint_ids))])


def lock_all_for_messages(tx: Connection, tenant: TenantScope) -> None:
    """Lock all endpoints of ``tenant`` as :func:`lock_for_messages` does."""
    tx.execute(
        "SELECT FROM webhook_endpoints WHERE merchant_id = %s AND livemode = %s AND deleted_at IS NULL"
        " ORDER BY id FOR SHARE",
        [tenant.merchant_id, tenant.livemode],
    )


def update(tx: Connection, endpoint: Endpoint) -> None:
    """Store a changed endpoint, which the caller has locked."""
    tx.execute(
        """
        UPDATE webhook_endpoints SET url = %(url)s, description = %(description)s, event_types = %(event_types)s,
            status = %(status)s, disabled_reason = %(disabled_reason)s, secret = %(secret)s,
            previous_secret = %(previous_secret)s, previous_secret_until = %(previous_secret_until)s,
            failing_since = %(failing_since)s, updated_at = now()
        WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND id = %(id)s
        """,
        vars(endpoint),
    )


def delete(tx: Connection, tenant: TenantScope, endpoint_id: str, *, secret: str) -> bool:
    """Delete an endpoint; ``False`` if there is no such endpoint.

    The row stays, for the messages that refer to it, with ``secret`` in place of the secrets that the merchant knows.
    """
    changed = tx.execute(
        "UPDATE webhook_endpoints SET deleted_at = now(), updated_at = now(),"
        " secret = %s, previous_secret = NULL, previous_secret_until = NULL"
        " WHERE id = %s AND merchant_id = %s AND livemode = %s AND deleted_at IS NULL",
        [secret, endpoint_id, tenant.merchant_id, tenant.livemode],
    )
    return changed.rowcount == 1


def record_success(tx: Connection, tenant: TenantScope, endpoint_id: str) -> None:
    """Record a successful delivery. Writes only after failures: no hot row in normal operation."""
    tx.execute(
        "UPDATE webhook_endpoints SET failing_since = NULL"
        " WHERE id = %s AND merchant_id = %s AND livemode = %s AND failing_since IS NOT NULL",
        [endpoint_id, tenant.merchant_id, tenant.livemode],
    )


def record_failure(tx: Connection, tenant: TenantScope, endpoint_id: str) -> None:
    """Record a failed delivery; the first one since the last success counts."""
    tx.execute(
        "UPDATE webhook_endpoints SET failing_since = now()"
        " WHERE id = %s AND merchant_id = %s AND livemode = %s AND failing_since IS NULL",
        [endpoint_id, tenant.merchant_id, tenant.livemode],
    )


def has_failed_for(tx: Connection, tenant: TenantScope, endpoint_id: str, time: timedelta) -> bool:
    """Return whether an endpoint's first failure since its last success is at least ``time`` ago."""
    row = tx.execute(
        "SELECT 1 FROM webhook_endpoints WHERE id = %s AND merchant_id = %s AND livemode = %s"
        " AND failing_since <= now() - %s",
        [endpoint_id, tenant.merchant_id, tenant.livemode, time],
    ).fetchone()
    return row is not None


def disable(tx: Connection, tenant: TenantScope, endpoint_id: str, *, reason: str) -> bool:
    """Disable an endpoint; ``False`` if it was disabled already."""
    changed = tx.execute(
        "UPDATE webhook_endpoints SET status = 'disabled', disabled_reason = %s, updated_at = now()"
        " WHERE id = %s AND merchant_id = %s AND livemode = %s AND status = 'enabled'",
        [reason, endpoint_id, tenant.merchant_id, tenant.livemode],
    )
    return changed.rowcount == 1


_STATE = "CASE WHEN deleted_at IS NULL THEN status ELSE 'deleted' END AS state"
_DROP = "status = 'failed', settled_at = now(), generation = generation + 1"
#: By the endpoint's state: messages of which status move, and what they become. Deliveries in progress are fenced off;
#: what was held begins its retry schedule anew.
_MOVES = {
    "enabled": {"held": "status = 'pending', attempts = 0, next_attempt_at = now()"},
    "disabled": {"pending": "status = 'held', generation = generation + 1"},
    "deleted": {"pending": _DROP, "held": _DROP},
}


def move_messages(tx: Connection, tenant: TenantScope, endpoint_id: str) -> None:
    """Have messages follow an endpoint, which the caller has locked; note whether there are more."""
    endpoint = [tenant.merchant_id, tenant.livemode, endpoint_id]
    row = tx.execute(
        f"SELECT {_STATE} FROM webhook_endpoints WHERE merchant_id = %s AND livemode = %s AND id = %s",  # noqa: S608 - constant text only
        endpoint,
    ).fetchone()
    moved = 0
    for status, change in _MOVES[row["state"]].items() if row else ():
        moved += tx.execute(
            f"UPDATE webhook_messages SET {change} WHERE id = ANY(ARRAY(SELECT id FROM webhook_messages"  # noqa: S608 - constant text only
            f" WHERE merchant_id = %s AND livemode = %s AND endpoint_id = %s AND status = '{status}'"
            " LIMIT %s FOR NO KEY UPDATE))",
            [*endpoint, MOVED_AT_ONCE - moved],
        ).rowcount
    tx.execute(
        "UPDATE webhook_endpoints SET messages_moved_at = CASE WHEN %s THEN clock_timestamp() END"
        " WHERE merchant_id = %s AND livemode = %s AND id = %s",
        [moved == MOVED_AT_ONCE, *endpoint],
    )


def move_more_messages(tx: Connection) -> bool:
    """Have more messages follow the endpoint that has waited for it the longest; ``False`` if none waits."""
    with tx.cursor(row_factory=class_row(Endpoint)) as cursor:
        endpoint = cursor.execute(
            f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE messages_moved_at IS NOT NULL"  # noqa: S608 - column names only
            " ORDER BY messages_moved_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED"
        ).fetchone()
    if endpoint is None:
        return False
    move_messages(tx, endpoint, endpoint.id)
    return True
