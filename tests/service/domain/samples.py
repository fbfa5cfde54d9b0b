"""A payment and an operation for tests of the domain."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from payments.domain import money
from payments.domain.operations import CallKind, Operation, OperationStatus
from payments.domain.outcomes import Result
from payments.domain.payments import CaptureMethod, Payment, PaymentStatus
from payments.domain.transitions import Transition, apply_result

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
    """A new payment of 10 EUR with manual capture, except for ``fields``."""
    return replace(_PAYMENT, **fields)


def operation(kind: CallKind, amount: int, **fields: Any) -> Operation:
    """A new operation, except for ``fields``."""
    new = Operation(
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
    return replace(new, **fields)


def applied(before: Payment, result: Result, op: Operation | None = None, *, announced: bool = False) -> Transition:
    """What ``result`` changes in a payment, or in an operation on it, now."""
    return apply_result(before, op, result, now=NOW, authorization_validity=VALIDITY, announced=announced)
