"""A payment and an operation to try the pure rules on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from payments.domain import money
from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.outcomes import Result
from payments.domain.payments import CaptureMethod, Payment, PaymentStatus
from payments.domain.transitions import Transition, settle

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
VALIDITY = timedelta(days=7)
AMOUNTS = st.integers(1, money.MAX_AMOUNT)
#: Basis points.
RATES = st.integers(0, 10_000)

_PAYMENT = Payment(
    id="pay_1",
    merchant_id="mer_1",
    livemode=False,
    status=PaymentStatus.PROCESSING,
    amount=1000,
    currency="EUR",
    capture_method=CaptureMethod.MANUAL,
    payment_method="tok_visa",
    reference=None,
    description=None,
    metadata={},
    return_url=None,
    fee_basis_points=290,
    amount_authorized=0,
    amount_captured=0,
    amount_refunded=0,
    amount_refund_pending=0,
    pending_operation=None,
    last_error=None,
    next_action=None,
    processor="sandbox",
    processor_reference=None,
    expires_at=None,
    event_sequence=0,
    api_version="2026-11-01",
    created_at=NOW,
)


def payment(**fields: Any) -> Payment:
    """A payment of 10 EUR by hand, just begun, but for ``fields``."""
    return replace(_PAYMENT, **fields)


def operation(kind: CallKind, amount: int, **fields: Any) -> Operation:
    """An operation just begun, but for ``fields``."""
    begun = Operation(
        id="op_1",
        merchant_id="mer_1",
        livemode=False,
        payment_id="pay_1",
        kind=kind,
        status=OperationStatus.PENDING,
        amount=amount,
        final=True,
        reason=None,
        error=None,
        processor_reference=None,
        created_at=NOW,
        settled_at=None,
    )
    return replace(begun, **fields)


def settled(before: Payment, result: Result, op: Operation | None = None, *, announced: bool = False) -> Transition:
    """What ``result`` makes of a payment, or of an operation on it, now."""
    kind = op.kind if op else CallKind.PAYMENT
    return settle(before, op, kind, result, now=NOW, authorization_validity=VALIDITY, announced=announced)
