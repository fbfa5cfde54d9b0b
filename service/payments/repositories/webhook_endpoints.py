"""Webhook endpoints: where merchants want to be told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg.rows import class_row

from payments.domain.operations import TenantScope
from payments.repositories.database import Connection

_COLUMNS = (
    "merchant_id, livemode, id, url, description, event_types, status, disabled_reason, api_version, secret,"
    " previous_secret, previous_secret_until, failing_since, created_at"
)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An endpoint with the secrets that sign for it."""

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


def insert(tx: Connection, endpoint: Endpoint) -> None:
    """Store a new endpoint."""
    tx.execute(
        f"INSERT INTO webhook_endpoints ({_COLUMNS}) VALUES"  # noqa: S608
        " (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            endpoint.merchant_id,
            endpoint.livemode,
            endpoint.id,
            endpoint.url,
            endpoint.description,
            endpoint.event_types,
            endpoint.status,
            endpoint.disabled_reason,
            endpoint.api_version,
            endpoint.secret,
            endpoint.previous_secret,
            endpoint.previous_secret_until,
            endpoint.failing_since,
            endpoint.created_at,
        ],
    )


def get(tx: Connection, tenant: TenantScope, endpoint_id: str, *, lock: bool = False) -> Endpoint | None:
    """One endpoint of ``tenant`` that is not deleted."""
    with tx.cursor(row_factory=class_row(Endpoint)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM webhook_endpoints"  # noqa: S608
            " WHERE id = %s AND merchant_id = %s AND livemode = %s AND deleted_at IS NULL"
            + (" FOR NO KEY UPDATE" if lock else ""),
            [endpoint_id, tenant.merchant_id, tenant.livemode],
        ).fetchone()


def list_for_tenant(tx: Connection, tenant: TenantScope, *, before: str | None, limit: int) -> Sequence[Endpoint]:
    """Up to ``limit`` endpoints of ``tenant``, newest first, after the one called ``before``."""
    with tx.cursor(row_factory=class_row(Endpoint)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM webhook_endpoints"  # noqa: S608
            " WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND deleted_at IS NULL"
            + (" AND id < %(before)s" if before else "")
            + " ORDER BY id DESC LIMIT %(limit)s",
            {"merchant_id": tenant.merchant_id, "livemode": tenant.livemode, "before": before, "limit": limit},
        ).fetchall()


def count(tx: Connection, tenant: TenantScope) -> int:
    """How many endpoints ``tenant`` has."""
    row = tx.execute(
        "SELECT count(*) AS found FROM webhook_endpoints"
        " WHERE merchant_id = %s AND livemode = %s AND deleted_at IS NULL",
        [tenant.merchant_id, tenant.livemode],
    ).fetchone()
    return int(row["found"]) if row else 0


def update(tx: Connection, endpoint: Endpoint) -> None:
    """Store what changed of a locked endpoint."""
    tx.execute(
        """
        UPDATE webhook_endpoints SET url = %s, description = %s, event_types = %s, status = %s, disabled_reason = %s,
            secret = %s, previous_secret = %s, previous_secret_until = %s, failing_since = %s, updated_at = now()
        WHERE merchant_id = %s AND livemode = %s AND id = %s
        """,
        [
            endpoint.url,
            endpoint.description,
            endpoint.event_types,
            endpoint.status,
            endpoint.disabled_reason,
            endpoint.secret,
            endpoint.previous_secret,
            endpoint.previous_secret_until,
            endpoint.failing_since,
            endpoint.merchant_id,
            endpoint.livemode,
            endpoint.id,
        ],
    )


def delete(tx: Connection, tenant: TenantScope, endpoint_id: str) -> bool:
    """Take an endpoint away, with what was still to be delivered to it; ``False`` if there is none."""
    changed = tx.execute(
        "UPDATE webhook_endpoints SET deleted_at = now(), updated_at = now()"
        " WHERE id = %s AND merchant_id = %s AND livemode = %s AND deleted_at IS NULL",
        [endpoint_id, tenant.merchant_id, tenant.livemode],
    )
    tx.execute(
        "UPDATE webhook_messages SET status = 'failed', settled_at = now(), generation = generation + 1"
        " WHERE merchant_id = %s AND livemode = %s AND endpoint_id = %s AND status IN ('pending', 'held')",
        [tenant.merchant_id, tenant.livemode, endpoint_id],
    )
    return changed.rowcount == 1


def note_success(tx: Connection, tenant: TenantScope, endpoint_id: str) -> None:
    """The endpoint took a message. Written only when it had failed before: no hot row while all is well."""
    tx.execute(
        "UPDATE webhook_endpoints SET failing_since = NULL"
        " WHERE id = %s AND merchant_id = %s AND livemode = %s AND failing_since IS NOT NULL",
        [endpoint_id, tenant.merchant_id, tenant.livemode],
    )


def note_failure(tx: Connection, tenant: TenantScope, endpoint_id: str) -> None:
    """The endpoint did not take a message; the first time since the last success counts."""
    tx.execute(
        "UPDATE webhook_endpoints SET failing_since = now()"
        " WHERE id = %s AND merchant_id = %s AND livemode = %s AND failing_since IS NULL",
        [endpoint_id, tenant.merchant_id, tenant.livemode],
    )


def disable(tx: Connection, tenant: TenantScope, endpoint_id: str, *, reason: str) -> bool:
    """Stop delivering to an endpoint and hold its messages; ``False`` if it was disabled already."""
    changed = tx.execute(
        "UPDATE webhook_endpoints SET status = 'disabled', disabled_reason = %s, updated_at = now()"
        " WHERE id = %s AND merchant_id = %s AND livemode = %s AND status = 'enabled'",
        [reason, endpoint_id, tenant.merchant_id, tenant.livemode],
    )
    hold_messages(tx, tenant, endpoint_id)
    return changed.rowcount == 1


def hold_messages(tx: Connection, tenant: TenantScope, endpoint_id: str) -> None:
    """Keep what is pending for a disabled endpoint; attempts under way are fenced off."""
    tx.execute(
        "UPDATE webhook_messages SET status = 'held', generation = generation + 1"
        " WHERE merchant_id = %s AND livemode = %s AND endpoint_id = %s AND status = 'pending'",
        [tenant.merchant_id, tenant.livemode, endpoint_id],
    )


def free_messages(tx: Connection, tenant: TenantScope, endpoint_id: str) -> None:
    """Deliver what was held, from the start of the schedule."""
    tx.execute(
        "UPDATE webhook_messages SET status = 'pending', attempts = 0, next_attempt_at = now()"
        " WHERE merchant_id = %s AND livemode = %s AND endpoint_id = %s AND status = 'held'",
        [tenant.merchant_id, tenant.livemode, endpoint_id],
    )
