"""Disputes: their states, the money that each look finds moved, and what the merchant bears in the end."""

import re
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.disputes import (
    CLOSED,
    TRANSITIONS,
    Dispute,
    DisputeChange,
    DisputeStatus,
    follow,
    opened,
    status_of,
)
from payments.domain.ledger import Account
from payments.domain.snapshots import Contradiction, DisputeSnapshot
from tests.service.domain.samples import NOW

S, A = DisputeStatus, Account
RESPOND_BY = NOW + timedelta(days=9)
#: A dispute of 10 EUR that has moved no money yet.
NEW = Dispute(
    id="dp_1",
    merchant_id="mer_1",
    livemode=False,
    payment_id="pay_1",
    status=S.NEEDS_RESPONSE,
    amount=1000,
    currency="EUR",
    reason="fraudulent",
    respond_by=RESPOND_BY,
    processor="sandbox",
    processor_reference="du_1",
    attempt_id="att_1",
    amount_withdrawn=0,
    amount_returned=0,
    fee=0,
    fee_returned=0,
    fee_currency=None,
    created_at=NOW,
)
#: The same, once the bank has taken the money and the processor its fee.
TAKEN = replace(NEW, amount_withdrawn=1000, fee=1500, fee_currency="EUR")
WARNED = replace(NEW, status=S.WARNING_NEEDS_RESPONSE)
WON, LOST = replace(TAKEN, status=S.WON), replace(TAKEN, status=S.LOST)


def found(**fields: Any) -> DisputeSnapshot:
    """``TAKEN`` as the processor holds it, except for ``fields``."""
    snapshot = DisputeSnapshot(
        reference="du_1",
        status="needs_response",
        amount=1000,
        currency="EUR",
        reason="fraudulent",
        respond_by=RESPOND_BY,
        amount_withdrawn=1000,
        amount_returned=0,
        fee=1500,
        fee_returned=0,
        fee_currency="EUR",
    )
    return replace(snapshot, **fields)


def unpaid(status: str) -> DisputeSnapshot:
    """``NEW`` in ``status``, as the processor holds it."""
    return found(status=status, amount_withdrawn=0, fee=0, fee_currency=None)


def posted(change: DisputeChange) -> list[str]:
    return [f"{posting.kind} {posting.amount} {currency}" for currency, posting in change.postings]


# ---- states ----------------------------------------
PUBLISHED = {
    "warning_needs_response": "warning_under_review warning_closed needs_response under_review won lost prevented",
    "warning_under_review": "warning_needs_response warning_closed needs_response under_review won lost prevented",
    "warning_closed": "needs_response under_review won lost prevented",
    "needs_response": "under_review won lost prevented",
    "under_review": "needs_response won lost prevented",
    "won": "",
    "lost": "",
    "prevented": "",
}


def test_the_state_machine_is_the_published_one() -> None:
    assert {state: set(targets.split()) for state, targets in PUBLISHED.items()} == TRANSITIONS
    assert {"warning_closed", "won", "lost", "prevented"} == CLOSED


def test_only_published_transitions_are_followed() -> None:
    for state, after in product(S, S):
        before = replace(NEW, status=state)
        if after is state or after in PUBLISHED[state].split():
            assert follow(before, unpaid(after)).dispute == replace(before, status=after)
        else:
            with pytest.raises(Contradiction, match=f"^dispute du_1 is {after}, in our books {state}$"):
                follow(before, unpaid(after))


@pytest.mark.parametrize(
    ("status", "shown"), [("arbitration", "arbitration"), ("x" * 1000, "x" * 50)], ids=["short", "long"]
)
def test_an_unknown_state_is_named_in_short(status: str, shown: str) -> None:
    with pytest.raises(Contradiction, match=f"^dispute du_1 has the unknown status '{shown}'$"):
        status_of(found(status=status))


def test_a_dispute_becomes_what_the_processor_holds() -> None:
    told: dict[str, Any] = {
        "amount": 900,
        "reason": "duplicate",
        "respond_by": None,
        "amount_withdrawn": 900,
        "amount_returned": 400,
    }
    fees: dict[str, Any] = {"fee": 2000, "fee_returned": 500, "fee_currency": "USD"}
    change = follow(WARNED, found(status="under_review", **told, **fees))
    assert change.dispute == replace(WARNED, status=S.UNDER_REVIEW, **told, **fees)


# ---- money ----------------------------------------
_PARTLY = ["dispute_reversal 300 EUR", "dispute_loss 700 EUR"]
MOVED = {
    "a warning": (WARNED, unpaid("warning_closed"), []),
    "withdrawn": (NEW, found(), ["dispute 1000 EUR", "dispute_fee 1500 EUR"]),
    "withdrawn, no fee": (NEW, found(fee=0, fee_currency=None), ["dispute 1000 EUR"]),
    "fee in dollars": (NEW, found(fee_currency="USD"), ["dispute 1000 EUR", "dispute_fee 1500 USD"]),
    "nothing new": (TAKEN, found(), []),
    "won, still to come": (TAKEN, found(status="won"), []),
    "won, returned": (TAKEN, found(status="won", amount_returned=1000), ["dispute_reversal 1000 EUR"]),
    "won, returned later": (WON, found(status="won", amount_returned=1000), ["dispute_reversal 1000 EUR"]),
    "won, part returned": (TAKEN, found(status="won", amount_returned=300), _PARTLY),
    "won, part later": (WON, found(status="won", amount_returned=300), _PARTLY),
    "part, then won": (
        replace(TAKEN, amount_returned=300),
        found(status="won", amount_returned=300),
        ["dispute_loss 700 EUR"],
    ),
    "lost": (TAKEN, found(status="lost"), ["dispute_loss 1000 EUR"]),
    "prevented": (TAKEN, found(status="prevented"), ["dispute_loss 1000 EUR"]),
    "lost, part returned": (TAKEN, found(status="lost", amount_returned=300), _PARTLY),
    "lost, part later": (
        LOST,
        found(status="lost", amount_returned=300),
        ["dispute_reversal 300 EUR", "dispute_loss_reversal 300 EUR"],
    ),
    "lost, all later": (
        LOST,
        found(status="lost", amount_returned=1000),
        ["dispute_reversal 1000 EUR", "dispute_loss_reversal 1000 EUR"],
    ),
    "fee returned": (TAKEN, found(fee_returned=1500), ["dispute_fee_reversal 1500 EUR"]),
}
CONTRADICTIONS = {
    "other currency": (TAKEN, found(currency="USD"), "dispute du_1 is in USD, the payment in EUR"),
    "unknown state": (TAKEN, found(status="arbitration"), "unknown status 'arbitration'"),
    "unknown part": (TAKEN, found(amount_returned=None), "dispute du_1 was returned in part, in another currency"),
    "more than withdrawn": (TAKEN, found(amount_returned=1001), "of dispute du_1 more was returned than withdrawn"),
    "more than the fee": (TAKEN, found(fee_returned=1501), "of dispute du_1 more was returned than withdrawn"),
    "two currencies": (TAKEN, found(fee_currency="USD"), "fees of dispute du_1 are in two currencies"),
    "withdrawn again": (TAKEN, found(amount_withdrawn=2000), "du_1 moved money again (dispute), after 1000"),
    "withdrawn less": (TAKEN, found(amount_withdrawn=999), "du_1 moved money again (dispute), after 1000"),
    "returned again": (
        replace(TAKEN, amount_returned=300),
        found(amount_returned=1000),
        "du_1 moved money again (dispute_reversal), after 300",
    ),
    "another fee": (TAKEN, found(fee=3000), "du_1 moved money again (dispute_fee), after 1500"),
    "fee returned again": (
        replace(TAKEN, fee_returned=500),
        found(fee_returned=1500),
        "du_1 moved money again (dispute_fee_reversal), after 500",
    ),
}


@pytest.mark.parametrize(("before", "snapshot", "expected"), MOVED.values(), ids=MOVED)
def test_money_is_posted_as_it_moves(before: Dispute, snapshot: DisputeSnapshot, expected: list[str]) -> None:
    change = follow(before, snapshot)
    assert posted(change) == expected
    assert posted(follow(change.dispute, snapshot)) == []


@pytest.mark.parametrize(("before", "snapshot", "finding"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_contradiction_is_not_booked(before: Dispute, snapshot: DisputeSnapshot, finding: str) -> None:
    with pytest.raises(Contradiction, match=re.escape(finding)):
        follow(before, snapshot)


@pytest.mark.parametrize(
    ("status", "returned", "loss"),
    [
        (S.WARNING_CLOSED, 0, 0),
        (S.NEEDS_RESPONSE, 0, 0),
        (S.UNDER_REVIEW, 300, 0),
        (S.WON, 0, 0),
        (S.WON, 300, 700),
        (S.WON, 1000, 0),
        (S.LOST, 0, 1000),
        (S.LOST, 300, 700),
        (S.PREVENTED, 0, 1000),
        (S.PREVENTED, 1000, 0),
    ],
)
def test_the_merchant_bears_what_is_lost(status: DisputeStatus, returned: int, loss: int) -> None:
    assert replace(TAKEN, status=status, amount_returned=returned).loss == loss


_LOOKS = st.builds(
    found,
    status=st.sampled_from(S),
    amount_withdrawn=st.sampled_from([0, 1000]),
    amount_returned=st.sampled_from([0, 300, 1000]),
    fee=st.sampled_from([0, 1500]),
    fee_returned=st.sampled_from([0, 1500]),
)


@given(st.lists(_LOOKS, max_size=8))
def test_the_books_show_what_was_moved_whatever_was_missed(looks: list[DisputeSnapshot]) -> None:
    dispute, books = NEW, dict.fromkeys(A, 0)
    for look in looks:
        try:
            change = follow(dispute, look)
        except Contradiction:
            continue
        dispute = change.dispute
        for _, posting in change.postings:
            books[posting.debit] += posting.amount
            books[posting.credit] -= posting.amount
    kept, fee = dispute.amount_withdrawn - dispute.amount_returned, dispute.fee - dispute.fee_returned
    settled = dispute.status in (S.LOST, S.PREVENTED) or (dispute.status is S.WON and dispute.amount_returned > 0)
    expected = {A.PROCESSOR_RECEIVABLE: -kept - fee, A.PROCESSOR_FEES: fee}
    expected[A.MERCHANT_PAYABLE if settled else A.DISPUTES] = kept
    assert {account: moved for account, moved in books.items() if moved} == {
        account: moved for account, moved in expected.items() if moved
    }


# ---- events ----------------------------------------
@pytest.mark.parametrize(
    ("before", "snapshot", "expected"),
    [
        (TAKEN, found(), []),
        (TAKEN, found(amount=900), ["dispute.updated"]),
        (TAKEN, found(status="under_review"), ["dispute.updated"]),
        (NEW, found(), ["dispute.updated"]),
        (replace(WARNED, status=S.WARNING_CLOSED), unpaid("needs_response"), ["dispute.updated"]),
        (WON, found(status="won", amount_returned=1000), ["dispute.updated"]),
        (WON, found(status="won"), []),
        (TAKEN, found(status="won"), ["dispute.closed"]),
        (TAKEN, found(status="lost", amount_returned=300), ["dispute.closed"]),
        (TAKEN, found(status="prevented"), ["dispute.closed"]),
        (WARNED, unpaid("warning_closed"), ["dispute.closed"]),
    ],
    ids=["same", "amount", "state", "money", "reopened", "returned", "decided", "won", "lost", "prevented", "warning"],
)
def test_each_change_is_announced_once(before: Dispute, snapshot: DisputeSnapshot, expected: list[str]) -> None:
    assert list(follow(before, snapshot).events) == expected


def test_a_dispute_first_seen_at_its_end_is_opened_and_closed() -> None:
    for state in S:
        change = opened(replace(NEW, status=state), unpaid(state))
        ended = state in ("warning_closed", "won", "lost", "prevented")
        assert list(change.events) == ["dispute.created", *(["dispute.closed"] if ended else [])]
        assert (change.dispute, change.postings) == (replace(NEW, status=state), ())


def test_a_dispute_first_seen_when_lost_is_posted_whole() -> None:
    change = opened(replace(NEW, status=S.LOST, respond_by=None), found(status="lost"))
    assert change.dispute == LOST
    assert posted(change) == ["dispute 1000 EUR", "dispute_loss 1000 EUR", "dispute_fee 1500 EUR"]
