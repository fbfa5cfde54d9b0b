"""Idempotency keys: who used one, for what request, and the final answer."""

from dataclasses import dataclass

from payments.domain.operations import KEY_LEASE, KEY_RETENTION, TenantScope
from payments.repositories.database import Connection

_GET = """
    SELECT fingerprint, request_id, payment_id, operation_id, response_status, response_body,
        extract(epoch FROM lease_until - clock_timestamp())::float8 AS lease_left
    FROM idempotency_keys WHERE merchant_id = %s AND livemode = %s AND key_hash = %s
"""
_GET_LOCKED = _GET + " FOR NO KEY UPDATE"


@dataclass(frozen=True, kw_only=True)
class IdempotencyRecord:
    """A key as it is stored."""

    fingerprint: bytes
    request_id: str
    payment_id: str | None
    operation_id: str | None
    #: Seconds that another request still owns it; 0 or less once the lease is over.
    lease_left: float
    response_status: int | None
    response_body: str | None


def claim(
    tx: Connection,
    tenant: TenantScope,
    *,
    key_hash: bytes,
    fingerprint: bytes,
    request_id: str,
    payment_id: str | None = None,
    operation_id: str | None = None,
) -> bool:
    """Own a key that nobody has used; ``False`` if somebody has. Waits for a claim that is not committed yet.

    The identifiers say what the key stands for while it is unresolved. A final answer that is older than its retention
    no longer counts.
    """
    changed = tx.execute(
        """
        INSERT INTO idempotency_keys
            (merchant_id, livemode, key_hash, fingerprint, request_id, payment_id, operation_id, lease_until)
        VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp() + %s)
        ON CONFLICT (merchant_id, livemode, key_hash) DO UPDATE SET fingerprint = EXCLUDED.fingerprint,
            request_id = EXCLUDED.request_id, lease_until = EXCLUDED.lease_until, payment_id = EXCLUDED.payment_id,
            operation_id = EXCLUDED.operation_id, response_status = NULL, response_body = NULL, expires_at = NULL,
            created_at = now()
        WHERE idempotency_keys.expires_at <= clock_timestamp()
        """,
        [
            tenant.merchant_id,
            tenant.livemode,
            key_hash,
            fingerprint,
            request_id,
            payment_id,
            operation_id,
            KEY_LEASE,
        ],
    )
    return changed.rowcount == 1


def get(tx: Connection, tenant: TenantScope, key_hash: bytes, *, lock: bool = False) -> IdempotencyRecord | None:
    """A key of ``tenant``; with ``lock``, the first lock of every transaction that has several."""
    row = tx.execute(_GET_LOCKED if lock else _GET, [tenant.merchant_id, tenant.livemode, key_hash]).fetchone()
    return None if row is None else IdempotencyRecord(**row)


def finish(tx: Connection, tenant: TenantScope, key_hash: bytes, *, status: int, body: str) -> None:
    """Keep the final answer, verbatim, for its retention."""
    tx.execute(
        "UPDATE idempotency_keys SET response_status = %s, response_body = %s, expires_at = clock_timestamp() + %s"
        " WHERE merchant_id = %s AND livemode = %s AND key_hash = %s",
        [status, body, KEY_RETENTION, tenant.merchant_id, tenant.livemode, key_hash],
    )


def release(tx: Connection, tenant: TenantScope, key_hash: bytes) -> None:
    """End the lease: the request was answered, its outcome is open."""
    tx.execute(
        "UPDATE idempotency_keys SET lease_until = clock_timestamp()"
        " WHERE merchant_id = %s AND livemode = %s AND key_hash = %s",
        [tenant.merchant_id, tenant.livemode, key_hash],
    )


def delete_expired(tx: Connection, *, limit: int) -> int:
    """Forget up to ``limit`` final answers whose retention is over by the database's clock; answers how many."""
    deleted = tx.execute(
        """
        DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM idempotency_keys
            WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED))
        """,
        [limit],
    )
    return deleted.rowcount
