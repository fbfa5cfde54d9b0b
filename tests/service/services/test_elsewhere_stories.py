"""Any story: our operations and others' changes in any order, told in any order, twice, late or never.

Once the last event has arrived, the books equal the processor's truth, money is conserved, and each event is sent once.
`STORIES=2000 pytest FILE` tells more of them.
"""

import contextlib
import os
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments.domain.disputes import TRANSITIONS, DisputeStatus
from payments.repositories.database import Database
from tests.service.elsewhere import Shop
from tests.service.fixtures import ApiKey, Postgres, make_key
from tests.service.processors.stripe_dashboard import StripeDashboard
from tests.service.processors.stripe_rules import Refused

_AMOUNT = 1000
_AMOUNTS = st.sampled_from([1, 100, 400, 600, 1000])
_FAULTS = st.sampled_from(["", "", "before", "lost", "500-after"])
_INDEX = st.integers(0, 5)
_OURS = st.tuples(st.sampled_from(["capture", "void", "refund"]), _AMOUNTS, _FAULTS)
_THEIRS = st.one_of(
    st.tuples(st.just("dashboard_capture"), _AMOUNTS),
    st.tuples(st.just("dashboard_cancel")),
    st.tuples(st.just("dashboard_refund"), _AMOUNTS, st.sampled_from(["succeeded", "pending"])),
    st.tuples(st.just("settle"), _INDEX, st.sampled_from(["succeeded", "failed"])),
    st.tuples(st.just("dispute"), _AMOUNTS, st.sampled_from(["needs_response", "warning_needs_response"])),
    st.tuples(st.just("move"), _INDEX, st.sampled_from(sorted(DisputeStatus))),
    st.tuples(st.just("funds"), _INDEX),
)
_TOLD = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, 40)), st.tuples(st.just("look")), st.tuples(st.just("recover"))
)
_STORY = st.lists(st.one_of(_OURS, _THEIRS, _THEIRS, _TOLD, _TOLD), min_size=3, max_size=25)


class Story:
    """One payment, and what happens to it."""

    def __init__(self, shop: Shop, method: str) -> None:
        self.shop, self.stripe = shop, shop.stripe
        self.payment, self.intent_id = shop.buy(_AMOUNT, capture_method=method)

    @property
    def intent(self) -> dict[str, Any]:
        return self.stripe.intents[self.intent_id]

    @property
    def refunds(self) -> list[dict[str, Any]]:
        return [refund for refund in self.stripe.refunds.values() if refund["payment_intent"] == self.intent_id]

    @property
    def disputes(self) -> list[dict[str, Any]]:
        return list(self.stripe.disputes.values())

    def happen(self, name: str, *arguments: Any) -> None:
        with contextlib.suppress(Refused, IndexError):  # what Stripe refuses, or is not there, does not happen
            getattr(self, name)(*arguments)

    # ---- ours
    def _operate(self, path: str, body: object, calls: tuple[str, str], fault: str) -> None:
        if fault:
            self.stripe.faults.update({calls[0]: [fault, fault], calls[1]: ["500", "500"]})
        response = self.shop.post(f"/v1/payments/{self.payment}/{path}", body)
        # 503: so many faults that the circuit breaker is open.
        assert response.status_code in {200, 201, 202, 402, 409, 422, 503}, response.text
        self.stripe.faults.clear()

    def capture(self, amount: int, fault: str) -> None:
        self._operate("capture", {"amount": amount}, ("capture", "retrieve"), fault)

    def void(self, _: int, fault: str) -> None:
        self._operate("void", {}, ("cancel", "retrieve"), fault)

    def refund(self, amount: int, fault: str) -> None:
        self._operate("refunds", {"amount": amount}, ("refund", "list_refunds"), fault)

    # ---- theirs
    def dashboard_capture(self, amount: int) -> None:
        self.stripe.dashboard_capture(self.intent_id, amount)

    def dashboard_cancel(self) -> None:
        self.stripe.dashboard_cancel(self.intent_id)

    def dashboard_refund(self, amount: int, status: str) -> None:
        self.stripe.dashboard_refund(self.intent_id, amount, status=status)

    def settle(self, index: int, status: str) -> None:
        refund = self.refunds[index]
        if (refund["status"], status) in {("pending", "succeeded"), ("pending", "failed"), ("succeeded", "failed")}:
            self.stripe.settle_refund(refund["id"], status)

    def dispute(self, amount: int, status: str) -> None:
        if self.intent["amount_received"]:
            self.stripe.open_dispute(self.intent_id, amount, status=status, withdraw=status == "needs_response")

    def move(self, index: int, status: str) -> None:
        dispute = self.disputes[index]
        if DisputeStatus(status) in TRANSITIONS[DisputeStatus(dispute["status"])]:
            self.stripe.move_dispute(dispute["id"], status)

    def funds(self, index: int) -> None:
        dispute = self.disputes[index]
        if not dispute["balance_transactions"]:
            self.stripe.withdraw(dispute["id"])
        elif len(dispute["balance_transactions"]) == 1 and dispute["status"] == "won":
            self.stripe.reinstate(dispute["id"])

    # ---- told
    def deliver(self, index: int) -> None:
        self.shop.send(self.stripe.messages[index])

    def look(self) -> None:
        self.shop.look()

    def recover(self) -> None:
        self.shop.work(rounds=1)

    # ---- the end
    def end(self) -> None:
        """Let the last event arrive, and time pass."""
        self.shop.send(("payment_intent.updated", self.intent))
        self.shop.work(rounds=20)

    def check(self) -> None:
        payment, received = self.shop.payment(self.payment), self.intent["amount_received"]
        refunded = self.stripe.refunded(self.intent_id, "succeeded")
        pending = self.stripe.refunded(self.intent_id, "pending")
        assert payment["status"] == self.intent["status"]
        assert payment["pending_operation"] is None
        assert payment["amount_captured"] == received
        assert (payment["amount_refunded"], payment["amount_refund_pending"]) == (refunded, pending)
        self._check_money(received - refunded)
        self._check_disputes()
        self._check_events()
        assert self.shop.states() == {"followed"}
        assert self.shop.problems() == []

    def _check_money(self, kept: int) -> None:
        withdrawn = returned = fees = lost = 0
        for dispute in self.disputes:
            moved = [transaction["amount"] for transaction in dispute["balance_transactions"]]
            taken, given = -sum(min(amount, 0) for amount in moved), sum(max(amount, 0) for amount in moved)
            withdrawn, returned = withdrawn + taken, returned + given
            fees += sum(transaction["fee"] for transaction in dispute["balance_transactions"])
            lost += taken - given if dispute["status"] in {"lost", "prevented"} else 0
        balances = Counter(self.shop.balances())
        assert balances["processor_receivable"] == kept - withdrawn + returned - fees
        assert balances["merchant_payable"] + balances["platform_fees"] == kept - lost
        assert balances["disputes"] == withdrawn - returned - lost
        assert balances["processor_fees"] == fees

    def _check_disputes(self) -> None:
        booked = self.shop.sql("SELECT processor_reference, status, amount FROM disputes")
        assert sorted(booked) == sorted((found["id"], found["status"], found["amount"]) for found in self.disputes)

    def _check_events(self) -> None:
        events = self.shop.events(self.payment)
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        once = Counter((event["type"], event["data"]["object"]["id"]) for event in events)
        repeated = {"dispute.updated", "dispute.closed", "payment.capture_failed", "payment.void_failed"}
        assert [key for key, count in once.items() if count > 1 and key[0] not in repeated] == []
        succeeded = {
            refund[0]
            for refund in self.shop.sql("SELECT id FROM operations WHERE status = 'succeeded' AND kind = 'refund'")
        }
        assert succeeded <= {event["data"]["object"]["id"] for event in events if event["type"] == "refund.succeeded"}


@settings(
    max_examples=int(os.environ.get("STORIES", "25")), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(method=st.sampled_from(["automatic", "manual", "manual"]), story=_STORY)
def test_any_story_ends_with_the_truth(
    database: Database,
    postgres: Postgres,
    key: ApiKey,
    stripe: StripeDashboard,
    method: str,
    story: list[tuple[Any, ...]],
) -> None:
    postgres.empty()
    for kept in (stripe.disputes, stripe.refunds, stripe.messages, stripe.faults):
        kept.clear()
    told = Story(Shop(database, make_key(postgres, key.merchant_id), postgres, stripe), method)
    for step in story:
        told.happen(*step)
    told.end()
    told.check()
