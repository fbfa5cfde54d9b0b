"""Attempts: who holds them, until when, and when the worker looks next. Times are the database's own."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta

from psycopg.rows import DictRow

from payments.domain.operations import PROCESSOR_DEADLINE, Attempt, CallKind, TenantScope
from payments.repositories.database import Connection

_COLUMNS = ", ".join(field.name for field in fields(Attempt))
#: The request's own unknown outcome counts as a look, so this leaves the worker's first one.
_EARLY_LOOKS = 1


def _attempt(row: DictRow) -> Attempt:
    return Attempt(**{**row, "kind": CallKind(row["kind"])})


@dataclass(frozen=True, kw_only=True)
class NewAttempt:
    """Something about to be asked of a processor."""

    id: str
    payment_id: str
    operation_id: str | None
    kind: CallKind
    processor: str
    idempotency_key_hash: bytes | None


def insert(tx: Connection, tenant: TenantScope, new: NewAttempt) -> Attempt:
    """Store an attempt, held by the caller until the processor's deadline; after it the worker looks."""
    row = tx.execute(
        f"""
        INSERT INTO attempts (id, merchant_id, livemode, payment_id, operation_id, kind, processor,
            idempotency_key_hash, deadline_at, next_look_at)
        VALUES (%(id)s, %(merchant_id)s, %(livemode)s, %(payment_id)s, %(operation_id)s, %(kind)s, %(processor)s,
            %(key_hash)s, clock_timestamp() + %(deadline)s, clock_timestamp() + %(deadline)s)
        RETURNING {_COLUMNS}
        """,  # noqa: S608  # column names of ours
        {
            "id": new.id,
            "merchant_id": tenant.merchant_id,
            "livemode": tenant.livemode,
            "payment_id": new.payment_id,
            "operation_id": new.operation_id,
            "kind": new.kind,
            "processor": new.processor,
            "key_hash": new.idempotency_key_hash,
            "deadline": PROCESSOR_DEADLINE,
        },
    ).fetchone()
    assert row is not None  # noqa: S101  # INSERT ... RETURNING answers a row or raises
    return _attempt(row)


def get(tx: Connection, attempt_id: str) -> Attempt | None:
    """One attempt, of whichever merchant."""
    row = tx.execute(f"SELECT {_COLUMNS} FROM attempts WHERE id = %s", [attempt_id]).fetchone()  # noqa: S608
    return None if row is None else _attempt(row)


def lock_if_held(tx: Connection, attempt: Attempt) -> bool:
    """Lock the attempt if its generation is still the caller's: whoever lost it may record nothing."""
    row = tx.execute(
        "SELECT 1 FROM attempts WHERE id = %s AND generation = %s AND status = 'open' FOR NO KEY UPDATE",
        [attempt.id, attempt.generation],
    ).fetchone()
    return row is not None


def claim_due(tx: Connection, *, processor: str, early: bool, limit: int) -> Sequence[Attempt]:
    """Take over due attempts of ``processor``, each for its deadline; two workers never take the same.

    ``early`` ones are those that the worker has looked at once at most; the others are taken by a call of their own.
    The ids are an array, which is made once: a subquery that the plan runs again would lock other rows each time.
    """
    rows = tx.execute(
        f"""
        UPDATE attempts SET generation = generation + 1, deadline_at = clock_timestamp() + %(deadline)s,
            next_look_at = clock_timestamp() + %(deadline)s
        WHERE id = ANY(ARRAY(
            SELECT id FROM attempts WHERE status = 'open' AND next_look_at <= clock_timestamp()
                AND processor = %(processor)s AND (looks <= {_EARLY_LOOKS}) = %(early)s
            ORDER BY next_look_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        RETURNING {_COLUMNS}
        """,  # noqa: S608
        {"deadline": PROCESSOR_DEADLINE, "processor": processor, "early": early, "limit": limit},
    )
    return [_attempt(row) for row in rows]


def claim(tx: Connection, attempt_id: str) -> Attempt | None:
    """Take one attempt over, whenever it is due; ``None`` if it is settled."""
    return _claim(tx, attempt_id, "")


def claim_idle(tx: Connection, attempt_id: str) -> Attempt | None:
    """Take one attempt over that nobody can be sending; ``None`` if somebody can, or it is settled."""
    return _claim(tx, attempt_id, "AND deadline_at <= clock_timestamp()")


def _claim(tx: Connection, attempt_id: str, condition: str) -> Attempt | None:
    row = tx.execute(
        f"""
        UPDATE attempts SET generation = generation + 1, deadline_at = clock_timestamp() + %(deadline)s,
            next_look_at = clock_timestamp() + %(deadline)s
        WHERE id = %(id)s AND status = 'open' {condition} RETURNING {_COLUMNS}
        """,  # noqa: S608
        {"deadline": PROCESSOR_DEADLINE, "id": attempt_id},
    ).fetchone()
    return None if row is None else _attempt(row)


def store_reference(tx: Connection, attempt: Attempt, reference: str) -> bool:
    """Keep the processor's id of what the attempt made; ``False`` if the attempt is no longer the caller's."""
    changed = tx.execute(
        "UPDATE attempts SET processor_reference = %s WHERE id = %s AND generation = %s AND status = 'open'",
        [reference, attempt.id, attempt.generation],
    )
    return changed.rowcount == 1


def settle(tx: Connection, attempt: Attempt, *, outcome: str, reference: str | None, evidence: str) -> None:
    """The attempt needs no more looks."""
    tx.execute(
        """
        UPDATE attempts SET status = 'settled', outcome = %s, evidence = %s, settled_at = now(), stuck_reason = NULL,
            processor_reference = coalesce(%s, processor_reference) WHERE id = %s
        """,
        [outcome, evidence, reference, attempt.id],
    )


def record_inconclusive(
    tx: Connection, attempt: Attempt, *, outcome: str, reference: str | None, wait: timedelta, stuck_reason: str | None
) -> None:
    """Look again after ``wait``."""
    tx.execute(
        """
        UPDATE attempts SET outcome = %s, processor_reference = coalesce(%s, processor_reference), looks = looks + 1,
            next_look_at = clock_timestamp() + %s, stuck_reason = %s WHERE id = %s
        """,
        [outcome, reference, wait, stuck_reason, attempt.id],
    )


def reschedule(tx: Connection, attempt: Attempt, *, wait: timedelta, reason: str) -> None:
    """Look again after ``wait``, with nothing learnt; nothing happens if the attempt is no longer the caller's."""
    tx.execute(
        """
        UPDATE attempts SET looks = looks + 1, next_look_at = clock_timestamp() + %s, stuck_reason = %s
        WHERE id = %s AND generation = %s AND status = 'open'
        """,
        [wait, reason, attempt.id, attempt.generation],
    )


def settle_creation(tx: Connection, tenant: TenantScope, payment_id: str, *, outcome: str, evidence: str) -> None:
    """Close the attempt that made a payment, because something else ended the payment; its holder is fenced off."""
    tx.execute(
        """
        UPDATE attempts SET status = 'settled', generation = generation + 1, outcome = %s, evidence = %s,
            settled_at = now()
        WHERE merchant_id = %s AND livemode = %s AND payment_id = %s AND kind = 'payment' AND status = 'open'
        """,
        [outcome, evidence, tenant.merchant_id, tenant.livemode, payment_id],
    )


def look_up_soon(tx: Connection, *, processor: str, livemode: bool, reference: str) -> int:
    """Make attempts about a processor's object due now; answers how many.

    ``reference`` is the object's id, be it a payment (then also its captures and voids) or a refund. A refund that had
    succeeded is looked up once more: it may have failed since.
    """
    changed = tx.execute(
        """
        UPDATE attempts SET status = 'open',
            next_look_at = least(next_look_at, greatest(clock_timestamp(), deadline_at))
        WHERE processor = %(processor)s AND livemode = %(livemode)s
            AND (status = 'open' OR (kind = 'refund' AND outcome = 'approved' AND processor_reference = %(reference)s))
            AND (processor_reference = %(reference)s OR (merchant_id, livemode, payment_id) IN (
                SELECT merchant_id, livemode, payment_id FROM attempts
                WHERE processor = %(processor)s AND livemode = %(livemode)s AND kind = 'payment'
                    AND processor_reference = %(reference)s))
        """,
        {"processor": processor, "livemode": livemode, "reference": reference},
    )
    return changed.rowcount


def schedule_lookup(tx: Connection, attempt: Attempt) -> None:
    """Let the worker look after one deadline, unless somebody settles the attempt before."""
    tx.execute(
        "UPDATE attempts SET next_look_at = clock_timestamp() + %s WHERE id = %s AND status = 'open'",
        [PROCESSOR_DEADLINE, attempt.id],
    )
