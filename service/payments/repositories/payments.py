"""Payments and operations. Every query is scoped to a merchant and a mode."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.payments import CaptureMethod, Payment, PaymentStatus
from payments.domain.tenancy import TenantScope
from payments.repositories.connection import Connection
from payments.repositories.scope import scope

#: The columns that :func:`payment_from` reads.
PAYMENT_COLUMNS = ", ".join(field.name for field in fields(Payment))
_OPERATION = ", ".join(field.name for field in fields(Operation))


def payment_from(row: DictRow) -> Payment:
    """Return the payment in ``row``."""
    return Payment(
        **{**row, "status": PaymentStatus(row["status"]), "capture_method": CaptureMethod(row["capture_method"])}
    )


def _operation(row: DictRow) -> Operation:
    return Operation(**{**row, "kind": CallKind(row["kind"]), "status": OperationStatus(row["status"])})


def _json(value: Mapping[str, object] | None) -> Jsonb | None:
    return None if value is None else Jsonb(value)


def _find(columns: str, table: str, *, lock: bool = False) -> str:
    return (
        f"SELECT {columns} FROM {table}"  # noqa: S608 - names only
        f" WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND id = %(id)s"
        f"{' FOR NO KEY UPDATE' if lock else ''}"
    )


def get_payment(tx: Connection, tenant: TenantScope, payment_id: str, *, lock: bool = False) -> Payment | None:
    """Return one payment of ``tenant``; ``lock`` keeps others from changing it until the transaction ends."""
    return find_payment(tx, tenant, payment_id, lock=lock)()


def find_payment(
    tx: Connection, tenant: TenantScope, payment_id: str, *, lock: bool = False
) -> Callable[[], Payment | None]:
    """Queue :func:`get_payment`; the payment is read by calling what is returned."""
    reply = tx.queue(_find(PAYMENT_COLUMNS, "payments", lock=lock), scope(tenant, id=payment_id))
    return lambda: reply.one(payment_from)


def update_payment(tx: Connection, payment: Payment) -> None:
    """Store what a transition changed."""
    tx.queue(
        """
        UPDATE payments SET status = %(status)s, amount_authorized = %(amount_authorized)s,
            amount_captured = %(amount_captured)s, amount_refunded = %(amount_refunded)s,
            amount_refund_pending = %(amount_refund_pending)s, pending_operation = %(pending_operation)s,
            last_error = %(last_error)s, next_action = %(next_action)s, processor_reference = %(processor_reference)s,
            expires_at = %(expires_at)s, event_sequence = %(event_sequence)s, updated_at = now()
        WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND id = %(id)s
        """,
        vars(payment) | {"last_error": _json(payment.last_error), "next_action": _json(payment.next_action)},
    )


@dataclass(frozen=True, kw_only=True)
class PaymentFilter:
    """Restricts a list of payments."""

    status: PaymentStatus | None = None
    reference: str | None = None
    #: Bounds on identifiers, which sort by time: ``from_id`` is inclusive, ``before_id`` is exclusive.
    from_id: str | None = None
    before_id: str | None = None


_FILTERS = {
    "status": "status = %(status)s",
    "reference": "reference = %(reference)s",
    "from_id": "id >= %(from_id)s",
    "before_id": "id < %(before_id)s",
}


def list_payments(tx: Connection, tenant: TenantScope, filters: PaymentFilter, *, limit: int) -> Sequence[Payment]:
    """Return up to ``limit`` payments, newest first; stable while others are created, since identifiers only grow."""
    wanted = {name: value for name, value in vars(filters).items() if value is not None}
    conditions = ["merchant_id = %(merchant_id)s", "livemode = %(livemode)s", *(_FILTERS[name] for name in wanted)]
    rows = tx.execute(
        f"SELECT {PAYMENT_COLUMNS} FROM payments WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT %(limit)s",  # noqa: S608 - constant conditions only
        scope(tenant, **wanted, limit=limit),
    )
    return [payment_from(row) for row in rows]


def expired_authorizations(tx: Connection, *, processors: Sequence[str], limit: int) -> Sequence[Payment]:
    """Return payments of any merchant whose authorization has expired with nothing in progress."""
    rows = tx.execute(
        f"""
        SELECT {PAYMENT_COLUMNS} FROM payments
        WHERE expires_at <= now() AND pending_operation IS NULL AND status IN ('requires_capture', 'partially_captured')
            AND processor = ANY(%s)
        ORDER BY expires_at LIMIT %s
        """,  # noqa: S608 - column names only
        [list(processors), limit],
    )
    return [payment_from(row) for row in rows]


def insert_operation(tx: Connection, operation: Operation) -> None:
    """Store an operation that is about to be sent."""
    tx.queue(
        """
        INSERT INTO operations (merchant_id, livemode, id, payment_id, kind, status, amount, final, reason, created_at)
        VALUES (%(merchant_id)s, %(livemode)s, %(id)s, %(payment_id)s, %(kind)s, %(status)s, %(amount)s, %(final)s,
            %(reason)s, %(created_at)s)
        """,
        vars(operation),
    )


def get_operation(tx: Connection, tenant: TenantScope, operation_id: str) -> Operation | None:
    """Return one operation of ``tenant``. Only a transaction that has locked its payment changes it."""
    return find_operation(tx, tenant, operation_id)()


def find_operation(tx: Connection, tenant: TenantScope, operation_id: str) -> Callable[[], Operation | None]:
    """Queue :func:`get_operation`; the operation is read by calling what is returned."""
    reply = tx.queue(_find(_OPERATION, "operations"), scope(tenant, id=operation_id))
    return lambda: reply.one(_operation)


def update_operation(tx: Connection, operation: Operation) -> None:
    """Store what a transition changed."""
    tx.queue(
        """
        UPDATE operations SET status = %(status)s, error = %(error)s, processor_reference = %(processor_reference)s,
            settled_at = %(settled_at)s
        WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND id = %(id)s
        """,
        vars(operation) | {"error": _json(operation.error)},
    )


def list_refunds(
    tx: Connection, tenant: TenantScope, payment_id: str, *, before_id: str | None, limit: int
) -> Sequence[Operation]:
    """Return up to ``limit`` refunds of a payment, newest first, from the one after ``before_id``."""
    rows = tx.execute(
        f"""
        SELECT {_OPERATION} FROM operations
        WHERE merchant_id = %(merchant_id)s AND livemode = %(livemode)s AND payment_id = %(payment_id)s
            AND kind = 'refund' {"AND id < %(before_id)s" if before_id else ""}
        ORDER BY id DESC LIMIT %(limit)s
        """,  # noqa: S608 - column names only
        scope(tenant, payment_id=payment_id, before_id=before_id, limit=limit),
    )
    return [_operation(row) for row in rows]
