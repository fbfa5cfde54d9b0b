"""Payments: the state machine, what each state allows, and how much."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.operations import CallKind
from payments.domain.payments import TRANSITIONS, AmountTooLarge, OperationNotAllowed, OperationPending, PaymentStatus
from tests.service.domain.samples import payment

S = PaymentStatus
PART = payment(
    status=S.PARTIALLY_CAPTURED,
    amount_authorized=1000,
    amount_captured=400,
    amount_refunded=100,
    amount_refund_pending=50,
)


def test_the_state_machine_is_the_published_one() -> None:
    published = {
        "processing": "requires_action requires_capture succeeded failed canceled",
        "requires_action": "processing canceled failed",
        "requires_capture": "partially_captured succeeded canceled",
        "partially_captured": "succeeded",
        "succeeded": "",
        "failed": "",
        "canceled": "",
    }
    assert {state.value: " ".join(sorted(targets)) for state, targets in TRANSITIONS.items()} == {
        state: " ".join(sorted(targets.split())) for state, targets in published.items()
    }


@pytest.mark.parametrize(
    ("state", "captured", "allowed"),
    [
        (S.PROCESSING, 0, []),
        (S.REQUIRES_ACTION, 0, ["void"]),
        (S.REQUIRES_CAPTURE, 0, ["capture", "void"]),
        (S.PARTIALLY_CAPTURED, 999, ["capture", "void", "refund"]),
        (S.PARTIALLY_CAPTURED, 1, ["capture", "void", "refund"]),
        (S.SUCCEEDED, 1, ["refund"]),
        (S.FAILED, 0, []),
        (S.CANCELED, 0, []),
    ],
)
def test_each_state_allows(state: PaymentStatus, captured: int, allowed: list[str]) -> None:
    assert payment(status=state, amount_authorized=1000, amount_captured=captured).allowed() == allowed


def test_only_an_open_authorization_is_capturable() -> None:
    assert PART.amount_capturable == 600
    assert payment(status=S.SUCCEEDED, amount_authorized=1000, amount_captured=400).amount_capturable == 0


@pytest.mark.parametrize(("refunded", "pending"), [(1000, 0), (0, 1000), (400, 600)])
def test_a_fully_refunded_payment_allows_no_refund(refunded: int, pending: int) -> None:
    refunded_payment = payment(
        status=S.SUCCEEDED,
        amount_authorized=1000,
        amount_captured=1000,
        amount_refunded=refunded,
        amount_refund_pending=pending,
    )
    assert (refunded_payment.amount_refundable, refunded_payment.allowed()) == (0, [])


def test_a_pending_capture_or_void_blocks_another_but_not_refunds() -> None:
    busy = payment(
        status=S.PARTIALLY_CAPTURED, amount_authorized=1000, amount_captured=400, pending_operation="capture"
    )
    message = r"^A capture of this payment is in progress\. Wait for its event, or poll the payment\.$"
    with pytest.raises(OperationPending, match=message):
        busy.check_capture(None)
    with pytest.raises(OperationPending, match=message):
        busy.check_void()
    assert busy.check_refund(400) == 400


def test_amounts_default_to_all_that_is_left() -> None:
    assert (PART.check_capture(None), PART.check_void(), PART.check_refund(None)) == (600, 600, 250)


@given(st.integers(1, 1000))
def test_more_than_is_left_is_refused_with_what_is_left(amount: int) -> None:
    for check, left in ((PART.check_capture, 600), (PART.check_refund, 250)):
        if amount <= left:
            assert check(amount) == amount
            continue
        with pytest.raises(AmountTooLarge, match=rf"^At most {left} is left\.$") as refusal:
            check(amount)
        assert refusal.value.limit == left


def test_a_refusal_names_the_state_and_what_is_allowed() -> None:
    ended = "A capture is not allowed while the payment is succeeded. This state is final."
    with pytest.raises(OperationNotAllowed) as refusal:
        payment(status=S.SUCCEEDED).check_capture(None)
    assert (str(refusal.value), refusal.value.detail) == (ended, ended)
    assert (refusal.value.state, refusal.value.allowed) == (S.SUCCEEDED, [])
    waiting = "Nothing is allowed while an operation is in progress: wait for its event, or poll the payment."
    for unsettled in (
        payment(status=S.PROCESSING),
        payment(status=S.SUCCEEDED, amount_captured=10, amount_refund_pending=10),
    ):
        with pytest.raises(OperationNotAllowed) as refusal:
            unsettled.check_refund(None)
        assert str(refusal.value) == f"A refund is not allowed while the payment is {unsettled.status}. {waiting}"
    early = "A refund is not allowed while the payment is requires_capture. Allowed: capture, void."
    with pytest.raises(OperationNotAllowed) as refusal:
        payment(status=S.REQUIRES_CAPTURE, amount_authorized=1000).check_refund(None)
    assert (str(refusal.value), refusal.value.allowed) == (early, ["capture", "void"])


@pytest.mark.parametrize("state", [S.PROCESSING, S.FAILED])
def test_each_operation_is_refused_by_its_own_name(state: PaymentStatus) -> None:
    refusing = payment(status=state)
    checks: dict[CallKind, Callable[[], object]] = {
        CallKind.CAPTURE: lambda: refusing.check_capture(None),
        CallKind.VOID: refusing.check_void,
        CallKind.REFUND: lambda: refusing.check_refund(None),
    }
    for kind, check in checks.items():
        with pytest.raises(OperationNotAllowed, match=f"^A {kind} is not allowed while the payment is {state}"):
            check()
