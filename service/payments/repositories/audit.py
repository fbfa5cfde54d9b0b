"""The audit log: every administrative act, append-only."""

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from payments.domain.ids import Prefix, new_id
from payments.domain.operations import TenantScope
from payments.repositories.database import Connection


def record(
    tx: Connection,
    tenant: TenantScope | None,
    *,
    actor: str,
    action: str,
    subject: str,
    now: datetime,
    details: dict[str, Any] | None = None,
) -> None:
    """Write down who did what to what. ``actor`` is a key's id or ``cli:`` and a user; no secret in ``details``."""
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
