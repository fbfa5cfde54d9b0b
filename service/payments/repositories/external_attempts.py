"""What a processor did on its own, among the attempts: settled from the start, so that nobody ever sends it.

Their outcome is :data:`EXTERNAL`, which no other attempt has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection
from payments.repositories.scope import scope

EXTERNAL = "external"


@dataclass(frozen=True, kw_only=True)
class RefundAttempt:
    """A refund, and the attempt that made it."""

    attempt_id: str
    #: Whether its outcome has yet to be found out by the attempt's own look-up.
    open: bool
    #: The processor's id of the refund, if it is known.
    reference: str | None
    refund: Operation


def insert(
    tx: Connection,
    tenant: TenantScope,
    *,
    attempt_id: str,
    payment_id: str,
    operation_id: str | None,
    kind: str,
    processor: str,
    reference: str | None,
) -> None:
    """Store what a processor did on its own. A refund that is stored already is a unique violation."""
    tx.execute(
        """
        INSERT INTO attempts (id, merchant_id, livemode, payment_id, operation_id, kind, processor, processor_reference,
            status, outcome, settled_at, deadline_at, next_look_at)
        VALUES (%(id)s, %(merchant_id)s, %(livemode)s, %(payment_id)s, %(operation_id)s, %(kind)s, %(processor)s,
            %(reference)s, 'settled', %(outcome)s, now(), now(), now())
        """,
        scope(
            tenant,
            id=attempt_id,
            payment_id=payment_id,
            operation_id=operation_id,
            kind=kind,
            processor=processor,
            reference=reference,
            outcome=EXTERNAL,
        ),
    )


_OPERATION = ", ".join(f"o.{field.name}" for field in fields(Operation))


def refunds_of(tx: Connection, tenant: TenantScope, payment_id: str) -> Sequence[RefundAttempt]:
    """Return all refunds of a locked payment, oldest first."""
    rows = tx.execute(
        f"""
        SELECT {_OPERATION}, a.id AS attempt_id, a.status = 'open' AS open, a.processor_reference AS reference
        FROM operations o JOIN attempts a
            ON (a.merchant_id, a.livemode, a.operation_id) = (o.merchant_id, o.livemode, o.id)
        WHERE o.merchant_id = %(merchant_id)s AND o.livemode = %(livemode)s AND o.payment_id = %(payment_id)s
            AND a.payment_id = o.payment_id AND o.kind = 'refund'
        ORDER BY o.id
        """,  # noqa: S608 - column names only
        scope(tenant, payment_id=payment_id),
    )
    return [_refund(**row) for row in rows]


def _refund(attempt_id: str, open: bool, reference: str | None, **row: object) -> RefundAttempt:  # noqa: A002, FBT001 - names of columns
    kind, status = CallKind(str(row["kind"])), OperationStatus(str(row["status"]))
    refund = Operation(**{**row, "kind": kind, "status": status})  # type: ignore[arg-type]  # a row of the operation's own columns
    return RefundAttempt(attempt_id=attempt_id, open=open, reference=reference, refund=refund)
