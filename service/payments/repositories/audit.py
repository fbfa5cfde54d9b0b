"""The audit log: every administrative action, append-only."""

from collections.abc import Mapping
from datetime import datetime

from psycopg.types.json import Jsonb

from payments.domain.ids import Prefix, new_id
from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection


def record(
    tx: Connection,
    tenant: TenantScope | None,
    *,
    actor: str,
    action: str,
    subject: str,
    now: datetime,
    details: Mapping[str, object] | None = None,
) -> None:
    """Record who did what to what.

    ``actor`` is the id of an API key, or ``cli:`` and a user name. ``details`` must not contain secrets.
    """
    tx.execute(
        "INSERT INTO audit_log (id, actor, action, merchant_id, livemode, subject, details)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [
            new_id(Prefix.AUDIT, now),
            actor,
            action,
            tenant and tenant.merchant_id,
            tenant and tenant.livemode,
            subject,
            Jsonb(details or {}),
        ],
    )
