"""Snapshots: how a processor's state of a payment or a refund differs from our books, and what cannot be booked."""

import re
from dataclasses import replace
from typing import Any

import pytest

from payments.domain.operations import CallKind, OperationStatus
from payments.domain.outcomes import Outcome, Result
from payments.domain.payments import Payment, PaymentStatus
from payments.domain.snapshots import (
    Captured,
    Contradiction,
    DisputeSnapshot,
    PaymentSnapshot,
    Progress,
    RefundSnapshot,
    Released,
    Settled,
    payment_difference,
    refund_differs,
)
from tests.service.domain.outcome_table import ACTING, AUTHORIZED, CAPTURED, FAILED, PARTIAL, PROCESSING
from tests.service.domain.samples import operation, payment

P, O, R = Progress, Outcome, OperationStatus  # noqa: E741 - short names for the tables
CANCELED = payment(status=PaymentStatus.CANCELED, amount_authorized=1000)


def held(progress: Progress, received: int = 0, **fields: Any) -> PaymentSnapshot:
    """What the processor holds of a payment in euros, except for ``fields``."""
    snapshot = PaymentSnapshot(
        reference="pi_1",
        livemode=False,
        currency="EUR",
        progress=progress,
        amount_received=received,
        charge_reference=None,
        payment_id="pay_1",
        merchant_id="mer_1",
    )
    return replace(snapshot, **fields)


def refund(outcome: Outcome, amount: int = 50) -> RefundSnapshot:
    """A refund as the processor holds it."""
    result = Result(outcome=outcome, detail="status frozen" if outcome is O.UNKNOWN else "")
    return RefundSnapshot(reference="re_1", amount=amount, currency="EUR", result=result, attempt_id=None)


# ---- payments ----------------------------------------
SAME = {
    "authorized": (AUTHORIZED, held(P.AUTHORIZED)),
    "captured in part": (PARTIAL, held(P.AUTHORIZED, 400)),
    "captured": (CAPTURED, held(P.SUCCEEDED, 400)),
    "failed": (FAILED, held(P.CANCELED)),
    "failed, left open": (FAILED, held(P.OPEN)),
    "canceled": (CANCELED, held(P.CANCELED)),
}
DIFFERENT = {
    "part captured": (AUTHORIZED, held(P.AUTHORIZED, 400), Captured(amount=400, final=False)),
    "part captured, final": (AUTHORIZED, held(P.SUCCEEDED, 400), Captured(amount=400, final=True)),
    "all captured": (AUTHORIZED, held(P.SUCCEEDED, 1000), Captured(amount=1000, final=True)),
    "more captured": (PARTIAL, held(P.AUTHORIZED, 500), Captured(amount=100, final=False)),
    "rest captured": (PARTIAL, held(P.SUCCEEDED, 1000), Captured(amount=600, final=True)),
    "all released": (AUTHORIZED, held(P.CANCELED), Released()),
    "rest released": (PARTIAL, held(P.SUCCEEDED, 400), Released()),
    "last cent released": (replace(PARTIAL, amount_captured=999), held(P.SUCCEEDED, 999), Released()),
}
UNEXPLAINED = {
    "other currency": (AUTHORIZED, held(P.AUTHORIZED, currency="USD"), "pi_1 is in USD, the payment in EUR"),
    "less than captured": (
        PARTIAL,
        held(P.AUTHORIZED, 399),
        "pi_1 has received 399; of the payment, which is partially",
    ),
    "too much": (AUTHORIZED, held(P.SUCCEEDED, 1001), "requires_capture, 0 is captured and 1000 capturable"),
    "too much in all": (PARTIAL, held(P.SUCCEEDED, 1001), "partially_captured, 400 is captured and 600 capturable"),
    "after its end": (CAPTURED, held(P.SUCCEEDED, 401), "succeeded, 400 is captured and 0 capturable"),
    "of a failed payment": (FAILED, held(P.SUCCEEDED, 1000), "failed, 0 is captured and 0 capturable"),
    "failed, authorized": (FAILED, held(P.AUTHORIZED), "pi_1 is authorized, the payment is failed"),
    "canceled, authorized": (CANCELED, held(P.AUTHORIZED), "pi_1 is authorized, the payment is canceled"),
}


@pytest.mark.parametrize(("before", "snapshot"), SAME.values(), ids=SAME)
def test_what_is_booked_is_no_difference(before: Payment, snapshot: PaymentSnapshot) -> None:
    assert payment_difference(before, snapshot) is None


@pytest.mark.parametrize(("before", "snapshot", "expected"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_was_done_elsewhere_is_found(
    before: Payment, snapshot: PaymentSnapshot, expected: Captured | Released
) -> None:
    assert payment_difference(before, snapshot) == expected


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (held(P.OPEN), None),
        (held(P.AUTHORIZED), Settled()),
        (held(P.SUCCEEDED, 1000), Settled()),
        (held(P.CANCELED), Settled()),
    ],
    ids=["open", "authorized", "succeeded", "canceled"],
)
def test_an_unsettled_payment_is_left_to_its_attempt(snapshot: PaymentSnapshot, expected: Settled | None) -> None:
    for unsettled in (PROCESSING, ACTING):
        assert payment_difference(unsettled, snapshot) == expected


@pytest.mark.parametrize(("before", "snapshot", "finding"), UNEXPLAINED.values(), ids=UNEXPLAINED)
def test_what_nothing_explains_is_reported(before: Payment, snapshot: PaymentSnapshot, finding: str) -> None:
    with pytest.raises(Contradiction, match=re.escape(finding)):
        payment_difference(before, snapshot)


_DISPUTE = DisputeSnapshot(
    reference="du_1",
    status="lost",
    amount=1000,
    currency="EUR",
    reason=None,
    respond_by=None,
    amount_withdrawn=1000,
    amount_returned=0,
    fee=0,
    fee_returned=0,
    fee_currency=None,
)


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (held(P.OPEN), True),
        (held(P.CANCELED), True),
        (held(P.AUTHORIZED), False),
        (held(P.SUCCEEDED), False),
        (held(P.CANCELED, 1), False),
        (held(P.CANCELED, refunds=(refund(O.DECLINED),)), False),
        (held(P.CANCELED, disputes=(_DISPUTE,)), False),
    ],
    ids=["open", "canceled", "authorized", "succeeded", "received", "refunded", "disputed"],
)
def test_moved_nothing_means_no_money_at_all(snapshot: PaymentSnapshot, expected: bool) -> None:
    assert snapshot.moved_nothing is expected


# ---- refunds ----------------------------------------
_ENDED = (O.DECLINED, O.NOT_DONE, O.EXPIRED)


@pytest.mark.parametrize("outcome", [O.APPROVED, *_ENDED])
def test_a_pending_refund_that_has_ended_differs(outcome: Outcome) -> None:
    assert refund_differs(operation(CallKind.REFUND, 50), refund(outcome))


def test_a_refund_that_is_pending_there_too_does_not_differ() -> None:
    assert not refund_differs(operation(CallKind.REFUND, 50), refund(O.PENDING))


@pytest.mark.parametrize("outcome", _ENDED)
def test_a_refund_that_the_processor_took_back_differs(outcome: Outcome) -> None:
    assert refund_differs(operation(CallKind.REFUND, 50, status=R.SUCCEEDED), refund(outcome))


@pytest.mark.parametrize(
    ("status", "outcome"), [(R.SUCCEEDED, O.APPROVED), *((R.FAILED, outcome) for outcome in _ENDED)]
)
def test_a_known_end_of_a_refund_is_no_news(status: OperationStatus, outcome: Outcome) -> None:
    assert not refund_differs(operation(CallKind.REFUND, 50, status=status), refund(outcome))


@pytest.mark.parametrize(
    ("status", "found", "finding"),
    [
        (R.SUCCEEDED, refund(O.APPROVED, 49), "refund re_1 is of 49, in our books of 50"),
        (R.PENDING, refund(O.UNKNOWN), "refund re_1: status frozen"),
        (R.SUCCEEDED, refund(O.PENDING), "refund re_1 is pending, in our books succeeded"),
        (R.SUCCEEDED, refund(O.UNKNOWN), "refund re_1 is unknown, in our books succeeded"),
        (R.FAILED, refund(O.APPROVED), "refund re_1 is approved, in our books failed"),
        (R.FAILED, refund(O.PENDING), "refund re_1 is pending, in our books failed"),
    ],
    ids=["amount", "unknown", "pending again", "no longer known", "revived", "failed, pending"],
)
def test_a_refund_does_not_go_back(status: OperationStatus, found: RefundSnapshot, finding: str) -> None:
    with pytest.raises(Contradiction, match=f"^{finding}$"):
        refund_differs(operation(CallKind.REFUND, 50, status=status), found)
