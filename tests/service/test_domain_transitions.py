"""Outcomes change what the outcome table says and nothing else."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from payments.domain.events import EventType
from payments.domain.money import share
from payments.domain.outcomes import FINAL, Outcome
from payments.domain.payments import CaptureMethod, Payment, PaymentStatus
from payments.domain.transitions import ACTION_VALIDITY, Transition, resume_after_action
from tests.service.domain import AMOUNTS, RATES, payment, settled
from tests.service.domain_outcome_table import ASKED, AUTHORIZED, BEGUN, FAILED, PART, ROWS, TAKEN, Row, result


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_an_outcome_changes_what_the_table_says_and_nothing_else(row: Row) -> None:
    assert settled(row.before, result(row.outcome), row.op, announced=row.announced) == row.expected


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - FINAL - {Outcome.REQUIRES_ACTION}))
@pytest.mark.parametrize("announced", [False, True])
def test_what_is_no_evidence_leaves_a_payment_processing_and_is_told_once(outcome: Outcome, announced: bool) -> None:
    change = settled(BEGUN, result(outcome), announced=announced)
    assert change == Transition(
        payment=replace(BEGUN, processor_reference="ref_2"),
        events=() if announced else (EventType.PAYMENT_PROCESSING,),
        settled=False,
        status=202,
    )


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_processors_reference_once_known_is_kept(row: Row) -> None:
    known = replace(row.before, processor_reference="ref_1")
    op = replace(row.op, processor_reference="ref_1") if row.op else None
    change = settled(known, replace(result(row.outcome), reference=None), op)
    assert change.payment.processor_reference == "ref_1"
    assert change.operation is None or change.operation.processor_reference == "ref_1"


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_answer_but_202_is_kept(row: Row) -> None:
    assert row.expected.response_is_final is (row.status != 202)


def test_a_customer_who_acted_leaves_the_payment_processing() -> None:
    assert timedelta(hours=24) == ACTION_VALIDITY
    expected = replace(ASKED, status=PaymentStatus.PROCESSING, next_action=None, expires_at=None)
    assert resume_after_action(ASKED) == expected


@given(AMOUNTS, RATES)
def test_an_automatic_payment_pays_its_fee_on_the_whole_amount(amount: int, rate: int) -> None:
    begun = payment(capture_method=CaptureMethod.AUTOMATIC, amount=amount, fee_basis_points=rate)
    _, *fee = settled(begun, result(Outcome.APPROVED)).postings
    assert sum(posting.amount for posting in fee) == share(amount, rate)


@pytest.mark.parametrize("before", [AUTHORIZED, PART, TAKEN, FAILED], ids=lambda before: before.status)
@pytest.mark.parametrize("method", CaptureMethod)
def test_nothing_is_authorized_twice(before: Payment, method: CaptureMethod) -> None:
    with pytest.raises(AssertionError, match=f"{before.status} -> processing"):
        settled(replace(before, capture_method=method), result(Outcome.APPROVED))


def test_a_change_that_the_machine_does_not_have_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match=r"^succeeded -> failed is no transition$"):
        settled(TAKEN, result(Outcome.DECLINED))
