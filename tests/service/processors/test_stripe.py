"""Stripe over real HTTP, with every kind of fault: money moves at most once, and nothing is guessed."""

import itertools
import threading
from typing import Any

import pytest

from payments.domain.outcomes import DeclineCode, Outcome
from payments.processors.base import CallKind, Processor
from payments.processors.stripe import StripeProcessor
from tests.service.processors.stripe_calls import authorized, captured, changed, new_call, prepared, settle
from tests.service.processors.stripe_rules import Refused
from tests.service.processors.stripe_standin import API_KEY, StripeStandin


def test_stripe_implements_the_processor_interface(processor: StripeProcessor) -> None:
    found: Processor = processor
    assert not found.capabilities.multicapture


# ---- creating the PaymentIntent
def test_preparing_moves_no_money(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = new_call(description="Books")
    result = processor.prepare(call)
    assert result.outcome is Outcome.PREPARED
    intent = standin.intents[str(result.reference)]
    assert intent["status"] == "requires_confirmation"
    assert intent["metadata"]["attempt_id"] == call.attempt_id
    assert (intent["amount"], intent["currency"], standin.charged()) == (1000, "eur", 0)


@pytest.mark.parametrize("fault", ["lost", "before", "500", "500-after", "429", "409", "html", "html403"])
def test_a_retry_creates_no_second_intent(processor: StripeProcessor, standin: StripeStandin, fault: str) -> None:
    standin.faults["create"] = [fault]
    assert processor.prepare(new_call()).outcome is Outcome.PREPARED
    assert standin.executed["create"] == 1


def test_without_an_intent_nothing_is_charged(processor: StripeProcessor, standin: StripeStandin) -> None:
    standin.faults["create"] = ["lost", "before"]
    result = processor.prepare(new_call())
    assert result.outcome is Outcome.NOT_DONE
    assert result.decline_code is DeclineCode.PROCESSING_ERROR
    assert standin.charged() == 0


def test_live_and_test_mode_do_not_mix(standin: StripeStandin) -> None:
    for api_key, livemode in ((API_KEY, True), ("sk_live_standin", False), ("rk_live_standin", False)):
        processor = StripeProcessor(api_key=api_key, base_url=standin.url)
        assert processor.prepare(new_call(livemode=livemode)).outcome is Outcome.MISCONFIGURED
    assert standin.arrived["create"] == 0


def test_a_wrong_api_key_charges_nothing_and_stops_new_payments(standin: StripeStandin) -> None:
    processor = StripeProcessor(api_key="sk_test_wrong", base_url=standin.url)
    for _ in range(5):
        assert processor.is_available()
        assert processor.prepare(new_call()).outcome is Outcome.MISCONFIGURED
    assert not processor.is_available()


@pytest.mark.parametrize(
    ("method", "invalid"), [("pm_card_visa", False), ("tok_visa", True), ("pm_", True), ("", True)]
)
def test_payment_methods(processor: StripeProcessor, method: str, invalid: bool) -> None:
    assert (processor.payment_method_error(method) is not None) is invalid


# ---- confirming
def test_an_automatic_payment_is_charged_at_once(processor: StripeProcessor, standin: StripeStandin) -> None:
    result = processor.authorize(prepared(processor))
    assert result.outcome is Outcome.APPROVED
    assert standin.charged() == 1000


def test_a_manual_payment_is_only_authorized(processor: StripeProcessor, standin: StripeStandin) -> None:
    authorized(processor)
    assert standin.charged() == 0


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("pm_card_chargeDeclined", DeclineCode.GENERIC_DECLINE),
        ("pm_card_chargeDeclinedInsufficientFunds", DeclineCode.INSUFFICIENT_FUNDS),
        ("pm_card_chargeDeclinedLostCard", DeclineCode.LOST_CARD),
        ("pm_card_chargeDeclinedExpiredCard", DeclineCode.EXPIRED_CARD),
    ],
    ids=["generic", "insufficient funds", "lost card", "expired card"],
)
def test_a_declined_intent_is_cancelled(
    processor: StripeProcessor, standin: StripeStandin, method: str, code: DeclineCode
) -> None:
    call = prepared(processor, payment_method=method)
    result = processor.authorize(call)
    assert (result.outcome, result.decline_code) == (Outcome.DECLINED, code)
    assert standin.intents[str(call.charge_reference)]["status"] == "canceled"


def test_a_decline_is_not_final_until_it_is_cancelled(processor: StripeProcessor, standin: StripeStandin) -> None:
    standin.faults["cancel"] = ["before", "before"]
    call = prepared(processor, payment_method="pm_card_chargeDeclined")
    result = processor.authorize(call)
    assert result.outcome is Outcome.UNKNOWN
    assert settle(processor, call, result).outcome is Outcome.DECLINED


def test_3d_secure_redirects_and_can_end_either_way(processor: StripeProcessor, standin: StripeStandin) -> None:
    for approve, expected in ((True, Outcome.APPROVED), (False, Outcome.DECLINED)):
        call = prepared(processor, payment_method="pm_card_authenticationRequired", return_url="https://shop.example/")
        result = processor.authorize(call)
        assert result.outcome is Outcome.REQUIRES_ACTION
        assert result.redirect_url == f"{standin.url}/3ds/{call.charge_reference}"
        standin.complete_3ds(str(call.charge_reference), approve=approve)
        settled = settle(processor, call, result)
        assert settled.outcome is expected
    assert settled.decline_code is DeclineCode.AUTHENTICATION_FAILED
    assert standin.charged() == 1000


def test_an_asynchronous_payment_is_pending_until_it_ends(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = prepared(processor, payment_method="pm_processing")
    assert processor.authorize(call).outcome is Outcome.PENDING
    assert processor.look_up(call).outcome is Outcome.PENDING
    standin.settle(str(call.charge_reference), approve=True)
    assert processor.look_up(call).outcome is Outcome.APPROVED


_FAULTS = ["", "lost", "before", "500", "500-after"]
_TWO_FAULTS = pytest.mark.parametrize(("first", "second"), list(itertools.product(_FAULTS, _FAULTS)))


@pytest.mark.parametrize("fault", ["drip", "drip-head"])
def test_a_dripping_response_ends_at_the_deadline(
    standin: StripeStandin, processor: StripeProcessor, fault: str
) -> None:
    """A time-out for each read never passes while bytes arrive: the call would take as long as Stripe likes."""
    call = prepared(processor, timeout=0.5)
    standin.faults.update(confirm=[fault] * 2, retrieve=[fault] * 4)
    limit = threading.Timer(15, standin.released.set)
    limit.start()
    result = processor.authorize(call)
    limit.cancel()
    assert not standin.released.is_set(), "it ended by itself"
    assert result.outcome is Outcome.UNKNOWN
    standin.faults.clear()
    assert settle(processor, call, result).outcome is Outcome.APPROVED
    assert standin.charged() == 1000


@_TWO_FAULTS
@pytest.mark.parametrize("method", ["pm_card_visa", "pm_card_chargeDeclined"], ids=["visa", "declined"])
def test_money_moves_at_most_once(
    standin: StripeStandin, processor: StripeProcessor, first: str, second: str, method: str
) -> None:
    call = prepared(processor, payment_method=method)
    standin.faults.update(confirm=[first, second], retrieve=[second, first], cancel=[first])
    settled = settle(processor, call, processor.authorize(call))
    intent = standin.intents[str(call.charge_reference)]
    assert settled.is_final
    assert standin.executed["confirm"] <= 1
    assert standin.charged() == (1000 if settled.outcome is Outcome.APPROVED else 0)
    # A failed payment cannot be charged later.
    assert intent["status"] == ("succeeded" if settled.outcome is Outcome.APPROVED else "canceled")


def test_unconfirmed_is_unknown_while_a_confirmation_may_arrive(
    processor: StripeProcessor, standin: StripeStandin
) -> None:
    standin.faults["confirm"] = ["before", "before"]
    call = prepared(processor)
    assert processor.authorize(call).outcome is Outcome.UNKNOWN
    assert standin.executed["cancel"] == 0
    assert processor.look_up(call).outcome is Outcome.UNCONFIRMED
    assert processor.abandon(call).outcome is Outcome.NOT_DONE
    assert processor.authorize(call).outcome is Outcome.NOT_DONE
    assert standin.charged() == 0


def test_abandoning_a_confirmed_intent_returns_its_outcome(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = prepared(processor)
    processor.authorize(call)
    assert processor.abandon(call).outcome is Outcome.APPROVED
    assert standin.charged() == 1000


def test_a_response_is_not_awaited_beyond_the_deadline(processor: StripeProcessor, standin: StripeStandin) -> None:
    standin.faults.update(confirm=["hang"], retrieve=["hang"])
    call = prepared(processor, timeout=0.5)
    assert processor.authorize(call).outcome is Outcome.UNKNOWN
    assert not standin.released.is_set(), "Stripe has not responded yet"
    assert processor.look_up(call).outcome is Outcome.APPROVED
    assert standin.charged() == 1000
    standin.released.set()


def test_nothing_is_sent_after_the_deadline(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = changed(prepared(processor), timeout=0.0)
    assert processor.authorize(call).outcome is Outcome.UNKNOWN
    assert standin.arrived["confirm"] == 0
    assert standin.arrived["retrieve"] == 0


@pytest.mark.parametrize("call_name", ["create", "confirm", "retrieve", "capture", "refund", "list_refunds"])
def test_nonsense_proves_nothing(processor: StripeProcessor, standin: StripeStandin, call_name: str) -> None:
    calls = {
        "create": lambda: processor.prepare(new_call()),
        "confirm": lambda: processor.authorize(prepared(processor)),
        "retrieve": lambda: processor.look_up(prepared(processor)),
        "capture": lambda: processor.capture(new_call(CallKind.CAPTURE, charge_reference=authorized(processor))),
        "refund": lambda: processor.refund(new_call(CallKind.REFUND, charge_reference=captured(processor))),
        "list_refunds": lambda: processor.look_up(new_call(CallKind.REFUND, charge_reference=captured(processor))),
    }
    standin.faults[call_name] = [Refused(200, {"surprise": 1})] * 2
    assert calls[call_name]().outcome in {Outcome.NOT_DONE, Outcome.UNKNOWN}


# ---- captures and voids
def test_a_partial_capture_releases_the_rest(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = new_call(CallKind.CAPTURE, charge_reference=authorized(processor), amount=400)
    assert processor.capture(call).outcome is Outcome.APPROVED
    assert standin.charged() == 400
    assert standin.intents[str(call.charge_reference)]["amount_capturable"] == 0


@_TWO_FAULTS
def test_a_capture_is_executed_once(
    processor: StripeProcessor, standin: StripeStandin, first: str, second: str
) -> None:
    call = new_call(CallKind.CAPTURE, charge_reference=authorized(processor), amount=400)
    standin.faults.update(capture=[first, second], retrieve=[second, first])
    result = processor.capture(call)
    for _ in range(4):
        if not result.is_final:
            result = processor.look_up(call)
        if result.outcome is Outcome.NOT_FOUND:
            result = processor.capture(call)  # the same attempt again, under the same key
    assert result.outcome is Outcome.APPROVED
    assert standin.executed["capture"] == 1
    assert standin.charged() == 400


def test_a_capture_that_did_not_arrive_is_unknown(processor: StripeProcessor, standin: StripeStandin) -> None:
    standin.faults["capture"] = ["before", "before"]
    call = new_call(CallKind.CAPTURE, charge_reference=authorized(processor))
    assert processor.capture(call).outcome is Outcome.UNKNOWN
    assert processor.look_up(call).outcome is Outcome.NOT_FOUND


def test_capturing_an_expired_authorization_reports_it(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = new_call(CallKind.CAPTURE, charge_reference=authorized(processor))
    standin.cancel(str(call.charge_reference), {"cancellation_reason": "automatic"})
    result = processor.capture(call)
    assert (result.outcome, result.decline_code) == (Outcome.EXPIRED, DeclineCode.AUTHORIZATION_EXPIRED)


def test_a_refused_capture_is_declined(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = new_call(CallKind.CAPTURE, charge_reference=authorized(processor), amount=5000)
    result = processor.capture(call)
    assert (result.outcome, result.decline_code) == (Outcome.DECLINED, DeclineCode.INVALID_AMOUNT)
    assert standin.charged() == 0


@pytest.mark.parametrize("faults", [[], ["lost"], ["500-after", "lost"], ["before"]])
def test_a_void_releases_the_authorization_once(
    processor: StripeProcessor, standin: StripeStandin, faults: list[str]
) -> None:
    call = new_call(CallKind.VOID, charge_reference=authorized(processor))
    standin.faults["cancel"] = faults
    assert processor.void(call).outcome is Outcome.APPROVED
    assert processor.void(changed(call, attempt_id="att_again")).outcome is Outcome.APPROVED
    assert standin.intents[str(call.charge_reference)]["status"] == "canceled"


def test_a_void_that_did_not_arrive_is_unknown(processor: StripeProcessor, standin: StripeStandin) -> None:
    standin.faults["cancel"] = ["before", "before"]
    call = new_call(CallKind.VOID, charge_reference=authorized(processor))
    assert processor.void(call).outcome is Outcome.UNKNOWN
    assert processor.look_up(call).outcome is Outcome.NOT_FOUND
    assert processor.void(call).outcome is Outcome.APPROVED


# ---- refunds
@_TWO_FAULTS
def test_a_refund_is_executed_once(processor: StripeProcessor, standin: StripeStandin, first: str, second: str) -> None:
    call = new_call(CallKind.REFUND, charge_reference=captured(processor), amount=300, reason="duplicate")
    standin.faults.update(refund=[first, second], list_refunds=[second, first])
    result = processor.refund(call)
    for _ in range(4):
        if not result.is_final:
            result = processor.look_up(call)
        if result.outcome is Outcome.NOT_FOUND:
            result = processor.refund(call)
    assert result.outcome is Outcome.APPROVED
    assert [refund["amount"] for refund in standin.refunds.values()] == [300]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("pending", Outcome.PENDING), ("requires_action", Outcome.PENDING), ("failed", Outcome.DECLINED)],
)
def test_a_refund_has_stripes_status(
    processor: StripeProcessor, standin: StripeStandin, status: str, outcome: Outcome
) -> None:
    standin.refund_status = status
    call = new_call(CallKind.REFUND, charge_reference=captured(processor), amount=300)
    assert processor.refund(call).outcome is outcome
    assert processor.look_up(call).outcome is outcome


def test_a_refund_that_did_not_arrive_is_unknown(processor: StripeProcessor, standin: StripeStandin) -> None:
    standin.faults["refund"] = ["before", "before"]
    call = new_call(CallKind.REFUND, charge_reference=captured(processor), amount=300)
    assert processor.refund(call).outcome is Outcome.UNKNOWN
    assert standin.refunds == {}


def test_states_that_stripe_may_add_are_unknown(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = prepared(processor)
    standin.intents[str(call.charge_reference)]["status"] = "requires_incantation"
    assert processor.look_up(call).outcome is Outcome.UNKNOWN
    standin.violations.clear()  # of a document that does not know the state yet
    refund = new_call(CallKind.REFUND, charge_reference=captured(processor), amount=300)
    standin.refund_status = "contemplated"
    assert processor.refund(refund).outcome is Outcome.UNKNOWN


def test_an_object_of_another_account_proves_nothing(processor: StripeProcessor) -> None:
    for _ in range(6):
        assert processor.look_up(new_call(charge_reference="pi_other_account")).outcome is Outcome.MISCONFIGURED
    assert processor.is_available(), "one object says nothing about the others"


def test_3d_secure_that_needs_stripes_own_script_is_cancelled(
    processor: StripeProcessor, standin: StripeStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = prepared(processor, payment_method="pm_card_authenticationRequired")
    confirm = StripeStandin.confirm

    def with_script(self: StripeStandin, intent_id: str, form: dict[str, Any]) -> dict[str, Any]:
        found = confirm(self, intent_id, form)
        found["next_action"] = {"type": "use_stripe_sdk"}
        return found

    monkeypatch.setattr(StripeStandin, "confirm", with_script)
    assert processor.authorize(call).outcome is Outcome.NOT_DONE
    assert standin.intents[str(call.charge_reference)]["status"] == "canceled"


def test_refunds_of_the_same_amount_are_distinguished(processor: StripeProcessor, standin: StripeStandin) -> None:
    reference = captured(processor)
    first = new_call(CallKind.REFUND, charge_reference=reference, amount=300)
    second = new_call(CallKind.REFUND, charge_reference=reference, amount=300)
    processor.refund(first)
    assert processor.look_up(second).outcome is Outcome.NOT_FOUND
    assert processor.refund(second).reference != processor.look_up(first).reference


def test_a_refund_beyond_the_charge_is_declined(processor: StripeProcessor) -> None:
    call = new_call(CallKind.REFUND, charge_reference=captured(processor), amount=5000)
    result = processor.refund(call)
    assert (result.outcome, result.decline_code) == (Outcome.DECLINED, DeclineCode.INVALID_AMOUNT)


def test_a_refund_that_was_executed_before_is_found(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = new_call(CallKind.REFUND, charge_reference=captured(processor), amount=1000)
    processor.refund(call)
    standin.forget_idempotency_keys()
    assert processor.refund(call).outcome is Outcome.APPROVED
    assert len(standin.refunds) == 1


def test_a_refund_on_a_later_page_is_found(processor: StripeProcessor, standin: StripeStandin) -> None:
    call = new_call(CallKind.REFUND, charge_reference=captured(processor), amount=1)
    result = processor.refund(call)
    for number in range(150):
        other = {"id": f"re_x{number}", "metadata": {}}
        standin.refunds[f"re_x{number}"] = {**standin.refunds[str(result.reference)], **other}
    assert processor.look_up(call).outcome is Outcome.APPROVED
    assert standin.arrived["list_refunds"] == 2


# ---- the circuit breaker
def test_consecutive_failures_stop_new_payments(processor: StripeProcessor, standin: StripeStandin) -> None:
    standin.faults["create"] = ["500"] * 6
    for _ in range(3):
        processor.prepare(new_call())
    assert not processor.is_available()
    call = prepared(processor)
    assert call.charge_reference is not None
    assert processor.is_available()


def test_declines_do_not_open_the_circuit(processor: StripeProcessor) -> None:
    for _ in range(6):
        processor.authorize(prepared(processor, payment_method="pm_card_chargeDeclined"))
    assert processor.is_available()


@pytest.mark.parametrize("kind", [CallKind.CAPTURE, CallKind.VOID, CallKind.REFUND, CallKind.PAYMENT])
def test_without_an_intent_nothing_is_done(processor: StripeProcessor, kind: CallKind) -> None:
    call = new_call(kind)
    send = {
        CallKind.CAPTURE: processor.capture,
        CallKind.VOID: processor.void,
        CallKind.REFUND: processor.refund,
        CallKind.PAYMENT: processor.authorize,
    }[kind]
    assert send(call).outcome is Outcome.NOT_DONE
    assert processor.look_up(call).outcome is Outcome.NOT_FOUND
    assert processor.abandon(call).outcome is Outcome.NOT_FOUND
