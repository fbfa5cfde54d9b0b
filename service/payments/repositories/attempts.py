"""Attempts: who holds them, until when, and when they are looked up next. All times are the database's.

What searches for due attempts says `status = 'open'`, as their index does; everything else says `settled_at IS NULL`.
Otherwise the planner takes that index, which looks the smallest, but keeps an entry for each attempt that was settled
since an old snapshot, such as a report's (docs/decisions/0322-queues-and-old-snapshots.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import cast

from psycopg.rows import DictRow

from payments.domain.operations import PROCESSOR_DEADLINE, Attempt, CallKind
from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection
from payments.repositories.scope import scope

_FIELDS = tuple(field.name for field in fields(Attempt))
#: Fields of an attempt whose columns have other names.
_RENAMED = {"next_lookup_at": "next_look_at", "lookups": "looks"}


def columns(prefix: str = "") -> str:
    """Return the columns that :func:`attempt_from` reads, named ``prefix`` and the field."""
    return ", ".join(f"{_RENAMED.get(name, name)} AS {prefix}{name}" for name in _FIELDS)


_COLUMNS = columns()
#: Claiming makes the caller the holder until the deadline; the former holder is fenced off by the generation.
_CLAIM = """
    UPDATE attempts SET generation = generation + 1, deadline_at = clock_timestamp() + %(deadline)s,
        next_look_at = clock_timestamp() + %(deadline)s
"""
#: The unknown outcome of the request itself counts as a look-up, so this leaves the worker's first one.
_EARLY_LOOKUPS = 1


def attempt_from(row: DictRow, prefix: str = "") -> Attempt:
    """Return the attempt in ``row``, whose columns are named ``prefix`` and the field."""
    values = {name: row[prefix + name] for name in _FIELDS}
    return Attempt(**values | {"kind": CallKind(values["kind"])})


@dataclass(frozen=True, kw_only=True)
class NewAttempt:
    """A call to a processor that is about to be sent."""

    id: str
    payment_id: str
    operation_id: str | None
    kind: CallKind
    processor: str
    idempotency_key_hash: bytes | None


def insert(tx: Connection, tenant: TenantScope, new: NewAttempt) -> Callable[[], Attempt | None]:
    """Store an attempt, held by the caller until the processor's deadline; after that it is due for a look-up.

    Returns:
        What reads the attempt, which is ``None`` if its payment does not exist.
    """
    reply = tx.queue(
        f"""
        INSERT INTO attempts (id, merchant_id, livemode, payment_id, operation_id, kind, processor,
            idempotency_key_hash, deadline_at, next_look_at)
        SELECT %(id)s, merchant_id, livemode, id, %(operation_id)s, %(kind)s, %(processor)s,
            %(idempotency_key_hash)s::bytea, deadline_at, deadline_at
        FROM payments, (SELECT clock_timestamp() + %(deadline)s AS deadline_at) AS now
        WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND id = %(payment_id)s
        RETURNING {_COLUMNS}
        """,  # noqa: S608 - column names only
        scope(tenant, **vars(new), deadline=PROCESSOR_DEADLINE),
    )
    return lambda: reply.one(attempt_from)


def get(tx: Connection, attempt_id: str) -> Attempt | None:
    """Return one attempt, whichever merchant it belongs to."""
    row = tx.execute(f"SELECT {_COLUMNS} FROM attempts WHERE id = %s", [attempt_id]).fetchone()  # noqa: S608 - column names only
    return None if row is None else attempt_from(row)


def lock_if_held(tx: Connection, attempt: Attempt) -> Callable[[], datetime | None]:
    """Lock the attempt if the caller still holds it; whoever lost it may record nothing.

    Returns:
        What reads the database's time, from which what is recorded counts; it is ``None`` if the caller no longer
        holds the attempt.
    """
    reply = tx.queue(
        "SELECT clock_timestamp() AS now FROM attempts WHERE id = %(id)s AND generation = %(generation)s"
        " AND settled_at IS NULL FOR NO KEY UPDATE",
        {"id": attempt.id, "generation": attempt.generation},
    )
    return lambda: reply.one(lambda row: cast("datetime", row["now"]))


def claim_due(tx: Connection, *, processor: str, early: bool, limit: int) -> Sequence[Attempt]:
    """Claim up to ``limit`` due attempts of ``processor``; two workers never claim the same.

    ``early`` selects attempts that the worker has looked up once at most; the others need a call of their own. The ids
    are an array, which is evaluated once: a subquery might be evaluated again and lock other rows each time.
    """
    rows = tx.execute(
        f"""
        {_CLAIM}
        WHERE id = ANY(ARRAY(
            SELECT id FROM attempts WHERE status = 'open' AND next_look_at <= now()
                AND processor = %(processor)s AND (looks <= {_EARLY_LOOKUPS}) = %(early)s
            ORDER BY next_look_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        RETURNING {_COLUMNS}
        """,  # noqa: S608 - column names only
        {"deadline": PROCESSOR_DEADLINE, "processor": processor, "early": early, "limit": limit},
    )
    return [attempt_from(row) for row in rows]


def claim(tx: Connection, attempt_id: str) -> Attempt | None:
    """Claim one attempt, due or not; ``None`` if it is settled."""
    return _claim(tx, attempt_id, "")


def claim_idle(tx: Connection, attempt_id: str) -> Attempt | None:
    """Claim one attempt that nobody can be sending; ``None`` if somebody may be, or it is settled."""
    return _claim(tx, attempt_id, "AND deadline_at <= clock_timestamp()")


def _claim(tx: Connection, attempt_id: str, condition: str) -> Attempt | None:
    row = tx.execute(
        f"{_CLAIM} WHERE id = %(id)s AND settled_at IS NULL {condition} RETURNING {_COLUMNS}",
        {"deadline": PROCESSOR_DEADLINE, "id": attempt_id},
    ).fetchone()
    return None if row is None else attempt_from(row)


def store_reference(tx: Connection, attempt: Attempt, reference: str) -> bool:
    """Store the processor's id of what the attempt created; ``False`` if the caller no longer holds the attempt."""
    changed = tx.execute(
        "UPDATE attempts SET processor_reference = %s WHERE id = %s AND generation = %s AND settled_at IS NULL",
        [reference, attempt.id, attempt.generation],
    )
    return changed.rowcount == 1


def settle(tx: Connection, attempt: Attempt, *, outcome: str, reference: str | None, evidence: str) -> None:
    """Close the attempt: its outcome is final."""
    tx.queue(
        """
        UPDATE attempts SET status = 'settled', outcome = %(outcome)s, evidence = %(evidence)s, settled_at = now(),
            stuck_reason = NULL, processor_reference = coalesce(%(reference)s, processor_reference)
        WHERE id = %(id)s
        """,
        {"id": attempt.id, "outcome": outcome, "evidence": evidence, "reference": reference},
    )


def record_inconclusive(
    tx: Connection, attempt: Attempt, *, outcome: str, reference: str | None, delay: timedelta, stuck_reason: str | None
) -> None:
    """Record an outcome that is not final, and look up again after ``delay``."""
    tx.queue(
        """
        UPDATE attempts SET outcome = %(outcome)s, looks = looks + 1,
            processor_reference = coalesce(%(reference)s, processor_reference),
            next_look_at = clock_timestamp() + %(delay)s, stuck_reason = %(stuck_reason)s
        WHERE id = %(id)s
        """,
        {"id": attempt.id, "outcome": outcome, "reference": reference, "delay": delay, "stuck_reason": stuck_reason},
    )


def reschedule(tx: Connection, attempt: Attempt, *, delay: timedelta, reason: str) -> None:
    """Look up again after ``delay``, with nothing learnt. Without effect if the caller no longer holds the attempt."""
    tx.execute(
        """
        UPDATE attempts SET looks = looks + 1, next_look_at = clock_timestamp() + %s, stuck_reason = %s
        WHERE id = %s AND generation = %s AND settled_at IS NULL
        """,
        [delay, reason, attempt.id, attempt.generation],
    )


def settle_creation(tx: Connection, tenant: TenantScope, payment_id: str, *, outcome: str, evidence: str) -> None:
    """Close the attempt that created a payment, which ended otherwise; the holder is fenced off."""
    tx.queue(
        """
        UPDATE attempts SET status = 'settled', generation = generation + 1, outcome = %(outcome)s,
            evidence = %(evidence)s, settled_at = now()
        WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND payment_id = %(payment_id)s
            AND kind = 'payment' AND settled_at IS NULL
        """,
        scope(tenant, payment_id=payment_id, outcome=outcome, evidence=evidence),
    )


def look_up_creation_soon(tx: Connection, tenant: TenantScope, payment_id: str) -> None:
    """Make the attempt that created a payment due as soon as nobody can be sending it."""
    tx.queue(
        """
        UPDATE attempts SET next_look_at = least(next_look_at, greatest(clock_timestamp(), deadline_at))
        WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND payment_id = %(payment_id)s
            AND kind = 'payment' AND settled_at IS NULL
        """,
        scope(tenant, payment_id=payment_id),
    )


def look_up_soon(tx: Connection, *, processor: str, livemode: bool, reference: str) -> None:
    """Make the attempts concerning a processor's object due now.

    ``reference`` is the object's id: that of a payment, which includes all its operations, or of a refund. The payment
    is locked before its attempts, as everywhere; one that another holds is passed over, so that a processor's event is
    stored without delay: whoever follows that event asks again, with the payment locked.
    """
    tx.execute(
        """
        WITH locked AS (
            SELECT merchant_id, livemode, id FROM payments WHERE (merchant_id, livemode, id) IN (
                SELECT merchant_id, livemode, payment_id FROM attempts
                WHERE processor = %(processor)s AND livemode = %(livemode)s AND kind IN ('payment', 'refund')
                    AND processor_reference = %(reference)s)
            ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE attempts SET next_look_at = least(next_look_at, greatest(clock_timestamp(), deadline_at))
        WHERE processor = %(processor)s AND livemode = %(livemode)s AND settled_at IS NULL
            AND (merchant_id, livemode, payment_id) IN (SELECT merchant_id, livemode, id FROM locked)
            AND (processor_reference = %(reference)s OR (merchant_id, livemode, payment_id) IN (
                SELECT merchant_id, livemode, payment_id FROM attempts
                WHERE processor = %(processor)s AND livemode = %(livemode)s AND kind = 'payment'
                    AND processor_reference = %(reference)s))
        """,
        {"processor": processor, "livemode": livemode, "reference": reference},
    )


def schedule_lookup(tx: Connection, attempt: Attempt) -> None:
    """Make the attempt due in one processor deadline, in case nobody settles it before; a former holder is fenced off.

    A look-up that began earlier would still see what the customer has acted upon since.
    """
    tx.execute(
        "UPDATE attempts SET generation = generation + 1, next_look_at = clock_timestamp() + %s"
        " WHERE id = %s AND settled_at IS NULL",
        [PROCESSOR_DEADLINE, attempt.id],
    )
