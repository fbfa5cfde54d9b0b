"""The outcome table holds, and what it does not list cannot happen."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from payments.domain.events import EventType
from payments.domain.money import share
from payments.domain.operations import CallKind
from payments.domain.outcomes import FINAL, Outcome
from payments.domain.payments import CaptureMethod, Payment, PaymentStatus
from payments.domain.transitions import (
    ACTION_VALIDITY,
    VOID_AGAIN_AFTER,
    Transition,
    Verdict,
    release,
    resume_after_action,
)
from tests.service.domain.outcome_table import (
    ACTING,
    AUTHORIZED,
    CAPTURED,
    CARD_DECLINED,
    FAILED,
    PARTIAL,
    PROCESSING,
    ROWS,
    Row,
    result,
)
from tests.service.domain.samples import AMOUNTS, NOW, RATES, applied, operation, payment


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_outcome_table(row: Row) -> None:
    assert applied(row.before, result(row.outcome), row.op, announced=row.announced) == row.expected


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - FINAL - {Outcome.REQUIRES_ACTION}))
@pytest.mark.parametrize("announced", [False, True])
def test_no_evidence_changes_nothing(outcome: Outcome, announced: bool) -> None:
    assert applied(PROCESSING, result(outcome), announced=announced) == Transition(
        payment=replace(PROCESSING, processor_reference="ref_2"),
        events=() if announced else (EventType.PAYMENT_PROCESSING,),
        verdict=Verdict.UNRESOLVED,
    )


@pytest.mark.parametrize(
    ("outcome", "url"),
    [
        (Outcome.REQUIRES_ACTION, None),
        (Outcome.PENDING, "https://issuer.example/3ds"),
        (Outcome.UNKNOWN, "https://issuer.example/3ds"),
    ],
    ids=["no url", "pending", "unknown"],
)
def test_an_action_needs_a_request_and_a_url(outcome: Outcome, url: str | None) -> None:
    after = applied(PROCESSING, replace(result(outcome), redirect_url=url))
    assert after.payment == replace(PROCESSING, processor_reference="ref_2")
    assert after.verdict is Verdict.UNRESOLVED


@pytest.mark.parametrize(
    "case", ["creation manual, approved", "capture all", "void done"], ids=["creation", "capture", "void"]
)
def test_a_success_leaves_no_earlier_failure(case: str) -> None:
    row = ROWS[case]
    refused_before = replace(row.before, last_error=CARD_DECLINED)
    assert applied(refused_before, result(row.outcome), row.op) == row.expected


@pytest.mark.parametrize(
    ("expires_in", "void_in"),
    [
        (timedelta(days=-1), timedelta(hours=24)),
        (timedelta(0), timedelta(hours=24)),
        (timedelta(microseconds=1), timedelta(microseconds=1)),
        (timedelta(days=3), timedelta(days=3)),
    ],
    ids=["expired", "expires now", "expires soon", "valid"],
)
def test_a_refused_void_for_expiry_waits_a_day(expires_in: timedelta, void_in: timedelta) -> None:
    assert timedelta(hours=24) == VOID_AGAIN_AFTER
    before = replace(AUTHORIZED, pending_operation="void", expires_at=NOW + expires_in)
    after = applied(before, result(Outcome.DECLINED), operation(CallKind.VOID, 1000)).payment
    expected = replace(before, pending_operation=None, last_error=CARD_DECLINED, expires_at=NOW + void_in)
    assert after == expected


@pytest.mark.parametrize(
    ("before", "status", "event"),
    [
        (AUTHORIZED, PaymentStatus.CANCELED, EventType.PAYMENT_CANCELED),
        (PARTIAL, PaymentStatus.SUCCEEDED, EventType.PAYMENT_SUCCEEDED),
    ],
    ids=["all", "rest"],
)
def test_what_the_processor_releases_ends_the_payment(before: Payment, status: PaymentStatus, event: EventType) -> None:
    ended = replace(before, status=status, expires_at=None)
    assert release(before) == Transition(payment=ended, events=(event,), verdict=Verdict.COMPLETED)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_reference_is_kept(row: Row) -> None:
    known = replace(row.before, processor_reference="ref_1")
    op = replace(row.op, processor_reference="ref_1") if row.op else None
    changed = applied(known, replace(result(row.outcome), reference=None), op)
    assert changed.payment.processor_reference == "ref_1"
    assert changed.operation is None or changed.operation.processor_reference == "ref_1"


def test_a_customer_who_acted_leaves_the_payment_processing() -> None:
    assert timedelta(hours=24) == ACTION_VALIDITY
    expected = replace(ACTING, status=PaymentStatus.PROCESSING, next_action=None, expires_at=None)
    assert resume_after_action(ACTING) == expected


@given(AMOUNTS, RATES)
def test_an_automatic_payment_pays_its_fee(amount: int, rate: int) -> None:
    new = payment(capture_method=CaptureMethod.AUTOMATIC, amount=amount, fee_basis_points=rate)
    _, *fee = applied(new, result(Outcome.APPROVED)).postings
    assert sum(posting.amount for posting in fee) == share(amount, rate)


@pytest.mark.parametrize("before", [AUTHORIZED, PARTIAL, CAPTURED, FAILED], ids=lambda before: before.status)
@pytest.mark.parametrize("method", CaptureMethod)
def test_no_second_authorization(before: Payment, method: CaptureMethod) -> None:
    with pytest.raises(AssertionError, match=f"from {before.status} to processing"):
        applied(replace(before, capture_method=method), result(Outcome.APPROVED))


def test_a_transition_that_does_not_exist_is_a_bug() -> None:
    with pytest.raises(AssertionError, match=r"^There is no transition from succeeded to failed\.$"):
        applied(CAPTURED, result(Outcome.DECLINED))
