"""All that a new payment stores before its processor is called (Tx1), in one statement."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from payments.domain.operations import KEY_LEASE, PROCESSOR_DEADLINE, Attempt
from payments.domain.payments import CaptureMethod, Payment
from payments.domain.tenancy import TenantScope
from payments.repositories import attempts, idempotency, payments
from payments.repositories.connection import Connection
from payments.repositories.scope import scope

#: Each part stores a row for what the part before it has stored, so that they lock in the order of their names here.
#: No part sees the rows of another but through its RETURNING; foreign keys are checked after the last.
_INSERT = f"""
    WITH claimed AS ({idempotency.CLAIM} RETURNING payment_id),
    payment AS (
        INSERT INTO payments (merchant_id, livemode, id, status, amount, currency, capture_method, payment_method,
            reference, description, metadata, return_url, fee_basis_points, processor, api_version, created_at)
        SELECT merchants.id, %(livemode)s, claimed.payment_id, 'processing', %(amount)s::bigint, %(currency)s,
            %(capture_method)s, %(payment_method)s, %(reference)s, %(description)s, %(metadata)s::jsonb, %(return_url)s,
            fee_basis_points, %(processor)s, %(api_version)s, %(created_at)s::timestamptz
        FROM claimed, merchants WHERE merchants.id = %(merchant_id)s
        RETURNING {payments.PAYMENT_COLUMNS}),
    attempt AS (
        INSERT INTO attempts (id, merchant_id, livemode, payment_id, kind, processor, idempotency_key_hash, deadline_at,
            next_look_at)
        SELECT %(attempt_id)s, merchant_id, livemode, id, 'payment', processor, %(key_hash)s, deadline_at, deadline_at
        FROM payment, (SELECT clock_timestamp() + %(deadline)s AS deadline_at) AS now
        RETURNING {attempts.columns("attempt_")})
    SELECT * FROM payment, attempt
"""  # noqa: S608 - statements and column names only


@dataclass(frozen=True, kw_only=True)
class NewPayment:
    """A payment that is about to be sent, its attempt, and the Idempotency-Key that it is sent for."""

    payment_id: str
    attempt_id: str
    key_hash: bytes
    fingerprint: bytes
    request_id: str
    #: Minor units of ``currency``.
    amount: int
    currency: str
    payment_method: str
    capture_method: CaptureMethod
    reference: str | None
    description: str | None
    metadata: dict[str, str]
    return_url: str | None
    processor: str
    api_version: str
    created_at: datetime


def insert(tx: Connection, tenant: TenantScope, new: NewPayment) -> Callable[[], tuple[Payment, Attempt] | None]:
    """Claim the key, and if that succeeds store the payment with the merchant's current fee, and its attempt.

    The attempt is held by the caller until the processor's deadline; after that it is due for a look-up. The claim
    waits for a concurrent one that is not committed yet.

    Returns:
        What reads payment and attempt, which is ``None`` if the key is in use.
    """
    fixed = {"operation_id": None, "lease": KEY_LEASE, "deadline": PROCESSOR_DEADLINE}
    reply = tx.queue(_INSERT, scope(tenant, **vars(new) | {"metadata": Jsonb(new.metadata)}, **fixed))
    return lambda: reply.one(_stored)


def _stored(row: DictRow) -> tuple[Payment, Attempt]:
    attempt = attempts.attempt_from(row, "attempt_")
    return payments.payment_from({field.name: row[field.name] for field in fields(Payment)}), attempt
