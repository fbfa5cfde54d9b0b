"""Idempotency keys: who used one, for which request, and the final response."""

from collections.abc import Callable
from dataclasses import dataclass

from payments.domain.operations import KEY_LEASE, KEY_RETENTION
from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection
from payments.repositories.scope import scope

#: Claims a key that is new, or whose final response has expired: one row, or none if it is in use.
CLAIM = """
    INSERT INTO idempotency_keys
        (merchant_id, livemode, key_hash, fingerprint, request_id, payment_id, operation_id, lease_until)
    VALUES (%(merchant_id)s, %(livemode)s, %(key_hash)s, %(fingerprint)s, %(request_id)s, %(payment_id)s,
        %(operation_id)s, clock_timestamp() + %(lease)s)
    ON CONFLICT (merchant_id, livemode, key_hash) DO UPDATE SET fingerprint = EXCLUDED.fingerprint,
        request_id = EXCLUDED.request_id, lease_until = EXCLUDED.lease_until, payment_id = EXCLUDED.payment_id,
        operation_id = EXCLUDED.operation_id, response_status = NULL, response_body = NULL, expires_at = NULL,
        created_at = now()
    WHERE idempotency_keys.expires_at <= clock_timestamp()
"""
_GET = """
    SELECT fingerprint, request_id, payment_id, operation_id, response_status, response_body,
        extract(epoch FROM lease_until - clock_timestamp())::float8 AS lease_left
    FROM idempotency_keys WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND key_hash = %(key_hash)s
"""


@dataclass(frozen=True, kw_only=True)
class IdempotencyRecord:
    """A key as stored."""

    fingerprint: bytes
    request_id: str
    payment_id: str | None
    operation_id: str | None
    #: Seconds for which another request still holds the key; 0 or less once the lease has expired.
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
) -> Callable[[], bool]:
    """Queue the claim of a key that is new, or whose final response has expired.

    What is returned reads whether it succeeded; if not, the key is in use. The claim waits for a concurrent one that is
    not committed yet. ``payment_id`` and ``operation_id`` name what the request
    creates: replays return its state while the outcome is open.
    """
    reply = tx.queue(
        CLAIM,
        scope(
            tenant,
            key_hash=key_hash,
            fingerprint=fingerprint,
            request_id=request_id,
            payment_id=payment_id,
            operation_id=operation_id,
            lease=KEY_LEASE,
        ),
    )
    return lambda: reply.rowcount == 1


def get(tx: Connection, tenant: TenantScope, key_hash: bytes) -> IdempotencyRecord | None:
    """Return a key of ``tenant``."""
    return _find(tx, _GET, tenant, key_hash)()


def lock(tx: Connection, tenant: TenantScope, key_hash: bytes) -> Callable[[], IdempotencyRecord | None]:
    """Queue the lock of a key; the record is read by calling what is returned.

    It must be the first row that the transaction locks, as it is where a key is claimed: a repeated request could
    deadlock with the first otherwise.
    """
    return _find(tx, f"{_GET} FOR NO KEY UPDATE", tenant, key_hash)


def _find(
    tx: Connection, statement: str, tenant: TenantScope, key_hash: bytes
) -> Callable[[], IdempotencyRecord | None]:
    reply = tx.queue(statement, scope(tenant, key_hash=key_hash))
    return lambda: reply.one(lambda row: IdempotencyRecord(**row))


def store_response(tx: Connection, tenant: TenantScope, key_hash: bytes, *, status: int, body: str) -> None:
    """Keep the final response, verbatim, for the retention period."""
    tx.queue(
        """
        UPDATE idempotency_keys SET response_status = %(status)s, response_body = %(body)s,
            expires_at = clock_timestamp() + %(retention)s
        WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND key_hash = %(key_hash)s
        """,
        scope(tenant, key_hash=key_hash, status=status, body=body, retention=KEY_RETENTION),
    )


def release(tx: Connection, tenant: TenantScope, key_hash: bytes) -> None:
    """End the lease: the request was responded to, with its outcome still open."""
    tx.queue(
        "UPDATE idempotency_keys SET lease_until = clock_timestamp()"
        " WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND key_hash = %(key_hash)s",
        scope(tenant, key_hash=key_hash),
    )


def delete_expired(tx: Connection, *, limit: int) -> int:
    """Delete up to ``limit`` keys whose final response has expired; returns how many."""
    deleted = tx.execute(
        """
        DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM idempotency_keys
            WHERE expires_at <= now() ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED))
        """,
        [limit],
    )
    return deleted.rowcount
