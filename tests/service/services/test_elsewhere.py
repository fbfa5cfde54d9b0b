"""What is done in the processor's dashboard, by expiry or by a bank is followed: books, states and events agree."""

import threading
from collections.abc import Iterator

import pytest

from payments.processors import stripe_snapshots
from payments.repositories.database import Database
from payments.services import comparison, inbox
from tests.service.elsewhere import Shop
from tests.service.fixtures import ApiKey, Postgres
from tests.service.processors.stripe_dashboard import StripeDashboard
from tests.service.processors.stripe_rules import Refused
from tests.waiting import wait_until


@pytest.fixture
def shop(database: Database, key: ApiKey, postgres: Postgres, stripe: StripeDashboard) -> Iterator[Shop]:
    shop = Shop(database, key, postgres, stripe)
    yield shop
    assert shop.problems() == []


def amounts(shop: Shop, payment_id: str) -> tuple[str, int, int, int]:
    payment = shop.payment(payment_id)
    return payment["status"], payment["amount_captured"], payment["amount_refunded"], payment["amount_refund_pending"]


# ---- refunds
def test_a_refund_in_the_dashboard_is_booked_once(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    before = shop.balances()
    stripe.dashboard_refund(intent, 300)
    messages = stripe.messages
    shop.deliver(messages)
    shop.deliver(messages[::-1])
    assert amounts(shop, payment) == ("succeeded", 1000, 300, 0)
    assert shop.refunds(payment) == [(300, "succeeded", "external")]
    assert shop.event_types(payment) == ["payment.succeeded", "refund.succeeded"]
    assert shop.entries(payment)[-1] == ("merchant_payable", "processor_receivable", 300)
    assert shop.balances()["merchant_payable"] == before["merchant_payable"] - 300
    assert shop.states() == {"followed"}


def test_what_changed_several_payments_is_followed_for_each(shop: Shop, stripe: StripeDashboard) -> None:
    """Events that are due together are looked at together only if they concern one payment."""
    payments = [shop.buy() for _ in range(3)]
    for _, intent in payments:
        stripe.dashboard_refund(intent, 300)
    shop.deliver()
    assert [amounts(shop, payment)[2] for payment, _ in payments] == [300] * 3
    assert shop.states() == {"followed"}


def test_a_refund_of_ours_stays_ours(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    shop.json(shop.post(f"/v1/payments/{payment}/refunds", {"amount": 300, "reason": "wrong size"}))
    stripe.dashboard_refund(intent, 200)
    shop.deliver()
    assert shop.refunds(payment) == [(300, "succeeded", "wrong size"), (200, "succeeded", "external")]


def test_a_pending_refund_elsewhere_reserves_its_amount(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    refund = stripe.dashboard_refund(intent, 700, status="pending")
    shop.deliver()
    assert amounts(shop, payment) == ("succeeded", 1000, 0, 700)
    assert shop.post(f"/v1/payments/{payment}/refunds", {"amount": 400}).status_code == 422
    stripe.settle_refund(refund, "succeeded")
    shop.deliver()
    assert amounts(shop, payment) == ("succeeded", 1000, 700, 0)
    assert shop.event_types(payment)[1:] == ["refund.pending", "refund.succeeded"]


@pytest.mark.parametrize("first", ["pending", "succeeded"])
def test_a_refund_elsewhere_that_fails_is_reversed(shop: Shop, stripe: StripeDashboard, first: str) -> None:
    payment, intent = shop.buy()
    before = shop.balances()
    refund = stripe.dashboard_refund(intent, 700, status=first)
    shop.deliver()
    stripe.settle_refund(refund, "failed")
    shop.deliver()
    assert amounts(shop, payment) == ("succeeded", 1000, 0, 0)
    assert shop.event_types(payment)[1:] == [f"refund.{first}", "refund.failed"]
    assert shop.balances() == before


def test_a_refund_that_failed_unseen_leaves_no_trace(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    stripe.settle_refund(stripe.dashboard_refund(intent), "failed")
    shop.deliver()
    assert (shop.refunds(payment), shop.states()) == ([], {"followed"})


def test_a_failed_refund_makes_room_for_a_later_one(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    first = stripe.dashboard_refund(intent)
    shop.deliver()
    stripe.settle_refund(first, "failed")
    stripe.dashboard_refund(intent)
    shop.deliver()
    assert shop.refunds(payment) == [(1000, "failed", "external"), (1000, "succeeded", "external")]


def test_what_was_refunded_elsewhere_is_gone(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    stripe.dashboard_refund(intent, 900)
    shop.deliver()
    refused = shop.post(f"/v1/payments/{payment}/refunds", {"amount": 200})
    assert (refused.status_code, refused.get_json(force=True)["errors"][0]["pointer"]) == (422, "#/amount")
    assert shop.json(shop.post(f"/v1/payments/{payment}/refunds"))["amount"] == 100


def test_a_refusal_tells_of_a_refund_elsewhere(shop: Shop, stripe: StripeDashboard) -> None:
    """ "Already refunded" is an outcome of ours and the first news of theirs."""
    payment, intent = shop.buy()
    stripe.dashboard_refund(intent)
    stripe.messages.clear()
    assert shop.post(f"/v1/payments/{payment}/refunds", {"amount": 200}).status_code == 402
    shop.work()
    assert amounts(shop, payment) == ("succeeded", 1000, 1000, 0)
    assert shop.event_types(payment)[1:] == ["refund.failed", "refund.succeeded"]
    assert shop.post(f"/v1/payments/{payment}/refunds", {"amount": 200}).status_code == 409


# ---- authorizations
@pytest.mark.parametrize("reason", ["abandoned", "automatic"])
def test_a_release_elsewhere_cancels(shop: Shop, stripe: StripeDashboard, reason: str) -> None:
    payment, intent = shop.buy(capture_method="manual")
    stripe.dashboard_cancel(intent, reason=reason)
    shop.deliver()
    assert amounts(shop, payment) == ("canceled", 0, 0, 0)
    assert shop.event_types(payment) == ["payment.authorized", "payment.canceled"]
    assert shop.entries(payment) == []
    assert shop.post(f"/v1/payments/{payment}/capture").status_code == 409


@pytest.mark.parametrize("amount", [400, 1000])
def test_a_capture_elsewhere_is_booked(shop: Shop, stripe: StripeDashboard, amount: int) -> None:
    payment, intent = shop.buy(capture_method="manual")
    stripe.dashboard_capture(intent, amount)
    shop.deliver()
    shop.deliver([("payment_intent.succeeded", stripe.intents[intent])])
    assert amounts(shop, payment) == ("succeeded", amount, 0, 0)
    assert shop.payment(payment)["amount_capturable"] == 0
    assert shop.event_types(payment) == ["payment.authorized", "payment.succeeded"]
    assert shop.entries(payment)[0] == ("processor_receivable", "merchant_payable", amount)


def test_a_capture_and_its_refund_are_booked_together(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy(capture_method="manual")
    stripe.dashboard_capture(intent, 400)
    stripe.dashboard_refund(intent, 100)
    shop.deliver(stripe.messages[-1:])
    assert amounts(shop, payment) == ("succeeded", 400, 100, 0)
    assert shop.event_types(payment) == ["payment.authorized", "payment.succeeded", "refund.succeeded"]


def test_a_refused_void_tells_of_a_capture_elsewhere(shop: Shop, stripe: StripeDashboard) -> None:
    """Its webhook was lost: our own void is refused, and brings it to light."""
    payment, intent = shop.buy(capture_method="manual")
    stripe.dashboard_capture(intent)
    stripe.messages.clear()
    refused = shop.post(f"/v1/payments/{payment}/void")
    assert refused.status_code in {202, 402}
    shop.work()
    assert amounts(shop, payment) == ("succeeded", 1000, 0, 0)
    assert shop.payment(payment)["pending_operation"] is None


def test_a_payment_canceled_before_its_customer_acts_ends(shop: Shop, stripe: StripeDashboard) -> None:
    created = shop.create("pm_card_authenticationRequired", return_url="https://shop.example/back").get_json()
    stripe.dashboard_cancel(shop.intent(created["id"]))
    shop.deliver()
    assert shop.event_types(created["id"]) == ["payment.requires_action", "payment.canceled"]
    assert shop.states() == {"followed"}


# ---- our own operations in flight
@pytest.mark.parametrize("theirs", [600, 1000])
@pytest.mark.parametrize("fault", ["before", "lost"])
def test_a_capture_in_flight_is_settled_first(shop: Shop, stripe: StripeDashboard, fault: str, theirs: int) -> None:
    payment, intent = shop.buy(capture_method="manual")
    stripe.faults["capture"] = [fault, fault]
    stripe.faults["retrieve"] = ["500", "500"]
    captured = shop.post(f"/v1/payments/{payment}/capture", {"amount": 1000})
    assert captured.status_code == 202
    if fault == "before":
        stripe.dashboard_capture(intent, theirs)
    shop.send(("payment_intent.succeeded", stripe.intents[intent]))
    assert shop.look(), "before our own look-up"
    assert amounts(shop, payment) == ("requires_capture", 0, 0, 0)
    assert shop.inbox() == [("open", "a capture is in progress")]
    shop.work()
    received = stripe.intents[intent]["amount_received"]
    assert amounts(shop, payment) == ("succeeded", received, 0, 0)
    assert shop.payment(payment)["pending_operation"] is None
    own = [] if received == 1000 else ["payment.capture_failed"]
    assert shop.event_types(payment) == ["payment.authorized", *own, "payment.succeeded"]


def test_a_contradiction_waits_for_an_operation_in_flight(shop: Shop, stripe: StripeDashboard) -> None:
    """It may be what our operation has done, and needs a person only once that is known."""
    payment, intent = shop.buy(capture_method="manual")
    stripe.faults["capture"] = ["before", "before"]
    stripe.faults["retrieve"] = ["500", "500"]
    assert shop.post(f"/v1/payments/{payment}/capture", {"amount": 1000}).status_code == 202
    stripe.dashboard_capture(intent, 1000)
    stripe.intents[intent]["amount_received"] = 1100
    shop.send(("payment_intent.succeeded", stripe.intents[intent]))
    assert shop.look()
    assert (shop.inbox(), shop.unmapped()) == ([("open", "a capture is in progress")], [])
    shop.work()
    assert shop.states() == {"unmapped"}


@pytest.mark.parametrize("first", ["the event", "the look-up"])
def test_a_refund_in_flight_is_never_external(shop: Shop, stripe: StripeDashboard, first: str) -> None:
    payment, _ = shop.buy()
    stripe.faults["refund"] = ["lost", "lost"]
    stripe.faults["list_refunds"] = ["500", "500"]
    response = shop.post(f"/v1/payments/{payment}/refunds", {"amount": 300})
    assert response.status_code == 202
    (refund,) = stripe.refunds.values()
    shop.send(("refund.created", refund))
    if first == "the event":
        assert shop.look()
        assert amounts(shop, payment) == ("succeeded", 1000, 0, 300)
        assert shop.states() == {"open"}
    shop.work()
    assert shop.refunds(payment) == [(300, "succeeded", None)]
    assert shop.states() == {"followed"}
    assert shop.event_types(payment)[1:] == ["refund.pending", "refund.succeeded"]


def test_a_reserved_amount_refunded_elsewhere_waits(shop: Shop, stripe: StripeDashboard) -> None:
    """Theirs has taken what ours has reserved: ours is refused first, then theirs is booked."""
    payment, intent = shop.buy()
    stripe.faults["refund"] = ["before", "before"]
    assert shop.post(f"/v1/payments/{payment}/refunds", {"amount": 600}).status_code == 202
    stripe.dashboard_refund(intent, 700)
    for message in stripe.messages:
        shop.send(message)
    assert shop.look()
    assert amounts(shop, payment) == ("succeeded", 1000, 0, 600)
    assert shop.states() == {"open"}
    shop.work()
    assert amounts(shop, payment) == ("succeeded", 1000, 700, 0)
    assert shop.refunds(payment) == [(600, "failed", None), (700, "succeeded", "external")]
    assert shop.states() == {"followed"}


def test_the_dashboard_cannot_refund_what_is_gone(shop: Shop, stripe: StripeDashboard) -> None:
    _, intent = shop.buy()
    stripe.dashboard_refund(intent)
    with pytest.raises(Refused):
        stripe.dashboard_refund(intent, 1)


# ---- what cannot be mapped
def test_foreign_objects_are_marked_and_forgotten(shop: Shop, stripe: StripeDashboard) -> None:
    shop.buy()
    stripe.intents["pi_shop"] = {**stripe.intents["pi_1"], "id": "pi_shop", "metadata": {}}
    stripe.intents["pi_dev"] = {
        **stripe.intents["pi_1"],
        "id": "pi_dev",
        "metadata": {"attempt_id": "att_1", "payment_id": "pay_1", "merchant_id": "mer_of_another_installation"},
    }
    for name in ("pi_shop", "pi_dev", "pi_nowhere"):
        shop.deliver([("payment_intent.succeeded", {"object": "payment_intent", "id": name})])
    shop.deliver([("charge.succeeded", {"object": "charge", "id": "ch_nowhere", "payment_intent": None})])
    shop.deliver([("customer.created", {"object": "customer", "id": "cus_1"})])
    assert shop.states() == {"not_ours"}
    assert shop.unmapped() == []


def _unknown_payment(shop: Shop, stripe: StripeDashboard, intent: str) -> None:
    """The payment was lost, for instance by restoring an older backup."""
    metadata = {"attempt_id": "att_1", "payment_id": "pay_lost", "merchant_id": shop.key.merchant_id}
    stripe.intents["pi_lost"] = {**stripe.intents[intent], "id": "pi_lost", "metadata": metadata}
    stripe.messages.append(("payment_intent.succeeded", stripe.intents["pi_lost"]))


def _second_charge(shop: Shop, stripe: StripeDashboard, intent: str) -> None:
    stripe.intents["pi_twice"] = {**stripe.intents[intent], "id": "pi_twice"}
    stripe.messages.append(("payment_intent.succeeded", stripe.intents["pi_twice"]))


def _other_currency(shop: Shop, stripe: StripeDashboard, intent: str) -> None:
    stripe.intents[intent]["currency"] = "usd"
    stripe.dashboard_refund(intent, 100)


def _refund_in_other_currency(shop: Shop, stripe: StripeDashboard, intent: str) -> None:
    stripe.refunds[stripe.dashboard_refund(intent, 100)]["currency"] = "usd"


def _less_received(shop: Shop, stripe: StripeDashboard, intent: str) -> None:
    stripe.intents[intent]["amount_received"] = 900
    stripe.dashboard_refund(intent, 100)


def _more_received(shop: Shop, stripe: StripeDashboard, intent: str) -> None:
    stripe.intents[intent]["amount_received"] = 1100
    stripe.dashboard_refund(intent, 100)


def _more_refunded(shop: Shop, stripe: StripeDashboard, intent: str) -> None:
    stripe.refunds[stripe.dashboard_refund(intent, 100)]["amount"] = 1001


def _unknown_attempt(shop: Shop, stripe: StripeDashboard, intent: str) -> None:
    stripe.refunds[stripe.dashboard_refund(intent, 100)]["metadata"] = {"attempt_id": "att_lost"}


def _unknown_refund_status(shop: Shop, stripe: StripeDashboard, intent: str) -> None:
    stripe.dashboard_refund(intent, 100, status="thinking")


def _vanished(shop: Shop, stripe: StripeDashboard, intent: str) -> None:
    stripe.dashboard_refund(intent, 100)
    del stripe.intents[intent]


UNMAPPED = {
    "unknown payment": (_unknown_payment, "names the payment pay_lost, which does not exist"),
    "second charge": (_second_charge, "which holds pi_"),
    "other currency": (_other_currency, "is in USD, the payment in EUR"),
    "refund's currency": (_refund_in_other_currency, "is in USD, not EUR"),
    "less received": (_less_received, "has received 900"),
    "more received": (_more_received, "has received 1100"),
    "more refunded": (_more_refunded, "is of 1001; only 1000 is left"),
    "unknown attempt": (_unknown_attempt, "names the attempt att_lost, which is not known"),
    "refund's status": (_unknown_refund_status, "refund thinking"),
    "vanished": (_vanished, "no longer has"),
}


@pytest.mark.parametrize("case", UNMAPPED)
def test_what_cannot_be_mapped_is_kept(shop: Shop, stripe: StripeDashboard, case: str) -> None:
    payment, intent = shop.buy()
    before = (amounts(shop, payment), shop.event_types(payment), shop.balances())
    change, reason = UNMAPPED[case]
    change(shop, stripe, intent)
    shop.deliver(stripe.messages[-1:])
    assert [reason in found for found in shop.unmapped()] == [True], shop.inbox()
    assert (amounts(shop, payment), shop.event_types(payment), shop.balances()) == before
    inbox.measure_unmapped(shop.context)
    assert [value for name, value in _samples(shop) if name == "UnmappedProcessorEvents"] == [[1.0]]
    shop.sql("UPDATE processor_inbox SET received_at = now() - interval '31 days'")
    inbox.clean_up(shop.context)
    assert len(shop.unmapped()) == 1


def test_an_unknown_status_is_kept(shop: Shop, stripe: StripeDashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the published document does not have yet."""
    _, intent = shop.buy()
    monkeypatch.delitem(stripe_snapshots._PROGRESS, "succeeded")
    stripe.dashboard_refund(intent, 100)
    shop.deliver()
    assert shop.unmapped() == [f"{intent} has the unknown status succeeded"] * 2


def _samples(shop: Shop) -> list[tuple[str, object]]:
    return [(name, value) for document in shop.context.metrics.drain() for name, value in document.items()]


def test_what_can_be_booked_beside_it_is_booked(shop: Shop, stripe: StripeDashboard) -> None:
    payment, intent = shop.buy()
    stripe.dashboard_refund(intent, 100)
    stripe.open_dispute(intent, 200, status="mediation")
    shop.deliver()
    assert amounts(shop, payment)[2] == 100
    assert shop.states() == {"unmapped"}


def test_a_later_look_heals_what_was_unmapped(shop: Shop, stripe: StripeDashboard) -> None:
    """What is explained later needs no person any more."""
    payment, intent = shop.buy()
    refund = stripe.dashboard_refund(intent, 100, status="thinking")
    shop.deliver()
    assert shop.states() == {"unmapped"}
    stripe.settle_refund(refund, "succeeded")
    shop.deliver()
    assert shop.states() == {"followed"}
    assert amounts(shop, payment)[2] == 100


def test_an_event_open_for_long_needs_a_person(shop: Shop, stripe: StripeDashboard) -> None:
    _, intent = shop.buy()
    stripe.faults["list_disputes"] = ["500"] * 100
    stripe.dashboard_refund(intent, 100)
    shop.deliver()
    assert (shop.states(), shop.unmapped()) == ({"open"}, [])
    shop.sql("UPDATE processor_inbox SET received_at = now() - interval '31 minutes'")
    assert [found.startswith("no response") for found in shop.unmapped()] == [True, True]
    assert shop.create("pm_card_visa").status_code == 201, "payments go on"
    stripe.faults.clear()
    shop.work()
    assert (shop.states(), shop.unmapped()) == ({"followed"}, [])


def test_a_failure_of_ours_is_retried(shop: Shop, stripe: StripeDashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    payment, intent = shop.buy()
    stripe.dashboard_refund(intent, 100)
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        patch.setattr(comparison.Comparison, "run", fail)
        shop.deliver()
    assert shop.inbox() == [("open", "failed: ZeroDivisionError")] * 2
    shop.work()
    assert amounts(shop, payment)[2] == 100


# ---- before we know it
def test_an_event_may_overtake_the_answer_to_our_request(shop: Shop, stripe: StripeDashboard) -> None:
    """The payment exists at the processor, and its id has not been stored yet."""
    stripe.faults["create"] = ["hang"]
    answers: list[int] = []
    request = threading.Thread(target=lambda: answers.append(shop.create("pm_card_visa").status_code))
    request.start()
    wait_until(lambda: bool(stripe.intents), "the intent")
    (intent,) = stripe.intents.values()
    shop.send(("payment_intent.created", intent))
    assert shop.look()
    assert shop.inbox() == [("open", "the attempt that made it has yet to store its id")]
    stripe.released.set()
    request.join()
    shop.work()
    assert (answers, shop.states()) == ([201], {"followed"})


def test_an_intent_made_in_vain_is_no_finding(shop: Shop, stripe: StripeDashboard) -> None:
    stripe.faults["create"] = ["lost", "lost"]
    assert shop.create("pm_card_visa").status_code == 402
    (intent,) = stripe.intents.values()
    shop.deliver([("payment_intent.created", intent)])
    assert shop.states() == {"followed"}
