"""Disputes: followed through every state and movement of money, in whatever order and however often they are told."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from payments.domain.disputes import CLOSED, TRANSITIONS, DisputeStatus
from payments.repositories.database import Database
from tests.service.elsewhere import Shop
from tests.service.fixtures import ApiKey, Postgres
from tests.service.processors.stripe_dashboard import DISPUTE_FEE, StripeDashboard


@pytest.fixture
def shop(database: Database, key: ApiKey, postgres: Postgres, stripe: StripeDashboard) -> Iterator[Shop]:
    shop = Shop(database, key, postgres, stripe)
    yield shop
    assert shop.problems() == []


def moved(shop: Shop, before: dict[str, int]) -> dict[str, int]:
    """Return by how much each balance has changed."""
    after = shop.balances()
    changes = {account: balance - before.get(account, 0) for account, balance in after.items()}
    return {account: change for account, change in changes.items() if change}


TAKEN = {"disputes": 1000, "processor_fees": DISPUTE_FEE, "processor_receivable": -1000 - DISPUTE_FEE}
#: What has moved at the end, by how the dispute ended.
ENDS = {
    "won": {"processor_fees": DISPUTE_FEE, "processor_receivable": -DISPUTE_FEE},
    "lost": {
        "merchant_payable": -1000,
        "processor_fees": DISPUTE_FEE,
        "processor_receivable": -1000 - DISPUTE_FEE,
    },
}


@pytest.mark.parametrize("end", ["won", "lost"])
def test_a_dispute_is_followed_to_its_end(shop: Shop, stripe: StripeDashboard, end: str) -> None:
    payment, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent)
    shop.deliver()
    assert moved(shop, before) == TAKEN
    stripe.move_dispute(dispute, "under_review")
    shop.deliver()
    stripe.move_dispute(dispute, end)
    if end == "won":
        stripe.reinstate(dispute)
    shop.deliver()
    assert moved(shop, before) == ENDS[end]
    assert shop.event_types(payment)[1:] == ["dispute.created", "dispute.updated", "dispute.closed"]
    assert shop.payment(payment)["status"] == "succeeded"


def test_the_events_of_a_dispute_carry_it(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    stripe.open_dispute(intent, 400)
    shop.deliver()
    event = shop.events(payment)[-1]
    found = event["data"]["object"]
    assert event["sequence"] == 2
    assert found.pop("id").startswith("dp_")
    assert abs(found.pop("created") - event["created"]) <= 1
    assert found == {
        "object": "dispute",
        "status": "needs_response",
        "payment": payment,
        "amount": 400,
        "currency": "EUR",
        "reason": "fraudulent",
        "respond_by": 1_800_000_000,
        "amount_withdrawn": 400,
        "amount_returned": 0,
        "livemode": False,
    }


@pytest.mark.parametrize("end", ["won", "lost"])
def test_a_dispute_first_heard_of_at_its_end_is_whole(shop: Shop, stripe: StripeDashboard, end: str) -> None:
    payment, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent)
    if end == "won":
        stripe.reinstate(dispute)
    stripe.move_dispute(dispute, end)
    shop.deliver(stripe.messages[::-1])
    assert moved(shop, before) == ENDS[end]
    assert shop.event_types(payment)[1:] == ["dispute.created", "dispute.closed"]


def test_funds_returned_after_the_decision_are_posted(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent)
    stripe.move_dispute(dispute, "won")
    shop.deliver()
    assert moved(shop, before) == TAKEN
    stripe.reinstate(dispute)
    shop.deliver()
    assert moved(shop, before) == ENDS["won"]
    assert shop.event_types(payment)[1:] == ["dispute.created", "dispute.closed", "dispute.updated"]


#: What a merchant has lost after 300 of 1000 were returned, whatever the dispute is called in the end.
PARTLY = {
    "merchant_payable": -700,
    "processor_fees": DISPUTE_FEE,
    "processor_receivable": -700 - DISPUTE_FEE,
}
#: The bank's decision and the partial return, in each order: the worker looks after each, or at the end.
COURSES = {
    "decided first": [["decide"], ["reinstate"]],
    "returned first": [["reinstate"], ["decide"]],
    "at once": [["reinstate", "decide"]],
}


@pytest.mark.parametrize("course", COURSES.values(), ids=COURSES)
@pytest.mark.parametrize("end", ["won", "lost", "prevented"])
def test_what_is_not_returned_is_lost(shop: Shop, stripe: StripeDashboard, end: str, course: list[list[str]]) -> None:
    """Stripe calls a dispute lost if only what had been refunded is returned; its dashboard says "partially won"."""
    _, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent)
    shop.deliver()
    for steps in course:
        for step in steps:
            if step == "decide":
                stripe.move_dispute(dispute, end)
            else:
                stripe.reinstate(dispute, 300)
        shop.deliver()
    assert shop.unmapped() == []
    assert moved(shop, before) == PARTLY


def test_all_that_was_lost_may_be_returned(shop: Shop, stripe: StripeDashboard) -> None:
    _, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent)
    stripe.move_dispute(dispute, "lost")
    shop.deliver()
    assert moved(shop, before) == ENDS["lost"]
    stripe.reinstate(dispute)
    shop.deliver()
    assert shop.unmapped() == []
    assert moved(shop, before) == ENDS["won"]


def test_a_part_in_another_currency_is_unmapped(shop: Shop, stripe: StripeDashboard) -> None:
    """How much it is in the payment's currency, nobody tells: it must not pass for the whole. The rest is booked."""
    payment, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent, withdraw=False)
    stripe.withdraw(dispute, currency="usd", amount=-1100)
    shop.deliver()
    taken = moved(shop, before)
    stripe.reinstate(dispute, currency="usd", amount=330)
    stripe.move_dispute(dispute, "lost")
    shop.deliver()
    assert ["was returned in part, in another currency" in found for found in shop.unmapped()] == [True, True]
    assert moved(shop, before) == taken
    other = stripe.open_dispute(intent, 100, withdraw=False)
    shop.deliver()
    assert shop.event_types(payment)[1:] == ["dispute.created", "dispute.created"], other


def test_a_whole_return_in_another_currency_is_whole(shop: Shop, stripe: StripeDashboard) -> None:
    """At the rate of another day."""
    _, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent, withdraw=False)
    stripe.withdraw(dispute, currency="usd", amount=-1100)
    stripe.reinstate(dispute, currency="usd", amount=1050)
    stripe.move_dispute(dispute, "won")
    shop.deliver()
    assert shop.unmapped() == []
    assert moved(shop, before).get("disputes", 0) == 0


def test_a_warning_moves_no_money(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent, status="warning_needs_response", withdraw=False)
    shop.deliver()
    for status in ("warning_under_review", "warning_closed"):
        stripe.move_dispute(dispute, status)
        shop.deliver()
    assert moved(shop, before) == {}
    assert shop.event_types(payment)[1:] == ["dispute.created", "dispute.updated", "dispute.closed"]


def test_a_warning_becomes_a_dispute(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent, status="warning_needs_response", withdraw=False)
    shop.deliver()
    stripe.move_dispute(dispute, "needs_response")
    stripe.withdraw(dispute)
    shop.deliver()
    assert moved(shop, before) == TAKEN
    assert shop.event_types(payment)[1:] == ["dispute.created", "dispute.updated"]


def test_two_disputes_of_a_payment_are_kept_apart(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    before = shop.balances()
    first, second = stripe.open_dispute(intent, 300), stripe.open_dispute(intent, 500)
    shop.deliver()
    stripe.move_dispute(first, "lost")
    stripe.reinstate(second)
    stripe.move_dispute(second, "won")
    shop.deliver()
    fees = 2 * DISPUTE_FEE
    assert moved(shop, before) == {
        "merchant_payable": -300,
        "processor_fees": fees,
        "processor_receivable": -300 - fees,
    }
    assert shop.event_types(payment)[1:].count("dispute.closed") == 2


def test_the_fee_is_posted_in_its_own_currency(shop: Shop, stripe: StripeDashboard) -> None:
    """The account settles in dollars; our receivable is in the payment's currency, whatever the day's rate."""
    payment, intent = shop.buy()
    dispute = stripe.open_dispute(intent, withdraw=False)
    stripe.withdraw(dispute, currency="usd", amount=-1100)
    shop.deliver()
    entries = shop.json(shop.get("/v1/ledger/entries", payment=payment, limit=10))["data"]
    posted = {(entry["kind"], entry["currency"], entry["amount"]) for entry in entries}
    assert {("dispute", "EUR", 1000), ("dispute_fee", "USD", DISPUTE_FEE)} <= posted


def test_a_fee_may_be_returned(shop: Shop, stripe: StripeDashboard) -> None:
    _, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent)
    shop.deliver()
    stripe.reinstate(dispute)
    stripe.disputes[dispute]["balance_transactions"][-1]["fee"] = -DISPUTE_FEE
    stripe.move_dispute(dispute, "won")
    shop.deliver()
    assert moved(shop, before) == {}


def test_a_dispute_is_found_by_its_charge_alone(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    dispute = stripe.disputes[stripe.open_dispute(intent)]
    shop.deliver([("charge.dispute.created", {**dispute, "payment_intent": None})])
    assert shop.event_types(payment)[1:] == ["dispute.created"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (["won", "lost"], "is lost, in our books won"),
        (["lost", "needs_response"], "is needs_response, in our books lost"),
        (["arbitration"], "unknown status 'arbitration'"),
    ],
    ids=["reversed", "reopened", "unknown"],
)
def test_a_course_we_do_not_know_is_unmapped(shop: Shop, stripe: StripeDashboard, path: list[str], reason: str) -> None:
    payment, intent = shop.buy()
    dispute = stripe.open_dispute(intent)
    shop.deliver()
    for status in path:
        stripe.move_dispute(dispute, status)
        shop.deliver()
    assert [reason in found for found in shop.unmapped()] == [True]
    assert shop.event_types(payment)[1:2] == ["dispute.created"]


def test_funds_withdrawn_again_are_unmapped(shop: Shop, stripe: StripeDashboard) -> None:
    _, intent = shop.buy()
    before = shop.balances()
    dispute = stripe.open_dispute(intent)
    shop.deliver()
    stripe.withdraw(dispute)
    shop.deliver()
    assert moved(shop, before) == TAKEN
    assert [found.partition(" moved")[2] for found in shop.unmapped()] == [" money again (dispute), after 1000"]


def test_the_states_end() -> None:
    assert set(TRANSITIONS) == set(DisputeStatus)
    ways = (["needs_response", "under_review", "won"], ["needs_response", "under_review", "lost"])
    for way in ways:
        assert all(DisputeStatus(after) in TRANSITIONS[DisputeStatus(before)] for before, after in pairwise(way))
    assert {state for state, after in TRANSITIONS.items() if not after} == CLOSED - {DisputeStatus.WARNING_CLOSED}
