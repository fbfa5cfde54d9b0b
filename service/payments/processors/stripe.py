"""Stripe as a processor: PaymentIntents made unconfirmed, confirmed once their id is safe, and never guessed about.

* `prepare` makes the PaymentIntent. It moves no money and nobody but us can confirm it, so even a lost answer proves
  that nothing was charged.
* `authorize` confirms it. Whatever stays in doubt is looked up by id; one that is still unconfirmed may yet be
  confirmed by a request under way, so it is `UNKNOWN` until the deadline and then abandoned: cancelled, which is final.
* A decline leaves a PaymentIntent that could be confirmed again: it is cancelled before the payment is failed.
* Captures are recognised by the change of `amount_received`, refunds by our attempt id in their metadata, by listing.
  Stripe's search is not used: it lags behind.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import stripe

from payments.domain.outcomes import DeclineCode, Outcome, Result
from payments.processors import stripe_webhooks
from payments.processors.base import Call, CallKind, Capabilities
from payments.processors.circuit import CircuitBreaker, CircuitOpen
from payments.processors.inbound import ProcessorEvent
from payments.processors.stripe_api import OutcomeUnknown, Refused, StripeApi
from payments.processors.stripe_outcomes import ATTEMPT, decline_code, find_refund, judge, refund_result, unknown, words

#: Stripe forgets idempotency keys after 24 hours; an hour of clocks and queues is kept away from that.
KEY_VALIDITY = timedelta(hours=23)
#: How long Stripe lets a card's authorization be captured.
AUTHORIZATION_VALIDITY = timedelta(days=7)
_METHOD = re.compile(r"pm_[A-Za-z0-9_]{1,250}")
_LIVE_KEY = re.compile(r"[rs]k_live_.+")
#: Part of a call's time that its first request may take; the rest is for asking what became of it.
_FIRST_SHARE = 0.6
_REASONS = frozenset({"duplicate", "fraudulent", "requested_by_customer"})


class StripeProcessor:
    """Moves money through one Stripe account in one mode."""

    name = "stripe"
    capabilities = Capabilities(
        multicapture=False,  # it depends on the account's and the card's eligibility
        prepares=True,
        key_validity=KEY_VALIDITY,
        authorization_validity=AUTHORIZATION_VALIDITY,
    )

    def __init__(self, *, api_key: str, webhook_secret: str = "", base_url: str = "https://api.stripe.com") -> None:
        self._webhook_secret = webhook_secret
        self._livemode = _LIVE_KEY.fullmatch(api_key) is not None
        self._breaker = CircuitBreaker()
        self._api = StripeApi(api_key=api_key, breaker=self._breaker, base_url=base_url)

    def refuses_method(self, payment_method: str) -> str | None:
        """Only PaymentMethods, which Stripe's own form makes in the customer's browser."""
        if _METHOD.fullmatch(payment_method):
            return None
        return "payment_method must be a PaymentMethod of Stripe's (pm_...)."

    def is_available(self) -> bool:
        """Whether the circuit breaker lets a call through."""
        try:
            self._breaker.check()
        except CircuitOpen:
            return False
        return True

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProcessorEvent:
        """A message that Stripe sent.

        Raises:
            InvalidSignature: it is not Stripe's, or too old.
        """
        return stripe_webhooks.read(body, headers.get(stripe_webhooks.SIGNATURE_HEADER), secret=self._webhook_secret)

    # ---- the calls --------------------------------------------------------------------------------------------------
    def prepare(self, call: Call) -> Result:
        """Make the unconfirmed PaymentIntent. Without it nothing can be charged, so every failure is ``NOT_DONE``."""
        if call.livemode != self._livemode:
            return Result(outcome=Outcome.NOT_DONE, detail="the Stripe key is of the other mode")
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": call.amount,
            "currency": call.currency.lower(),
            "payment_method": call.payment_method,
            "allowed_payment_method_types": ["card"],
            "capture_method": "automatic" if call.final else "manual",
            "confirm": False,
            "metadata": {"payment_id": call.payment_id, "merchant_id": call.merchant_id, ATTEMPT: call.attempt_id},
        }
        if call.description:
            params["description"] = call.description
        try:
            intent = self._api.create_intent(params, key=f"{call.attempt_id}:create", deadline=_within(call))
        except Refused as refused:
            return Result(outcome=Outcome.NOT_DONE, decline_code=decline_code(refused), detail=words(refused))
        except OutcomeUnknown as doubt:
            detail = f"the PaymentIntent could not be made ({doubt}); unconfirmed, it charges nothing"
            return Result(outcome=Outcome.NOT_DONE, decline_code=DeclineCode.PROCESSING_ERROR, detail=detail)
        return Result(outcome=Outcome.PREPARED, reference=intent.id)

    def authorize(self, call: Call) -> Result:
        """Confirm the prepared PaymentIntent."""
        intent_id = call.charge_reference or call.reference
        if intent_id is None:
            return Result(outcome=Outcome.NOT_DONE, detail="nothing was prepared")
        deadline = _within(call)
        try:
            intent = self._api.confirm(
                intent_id,
                return_url=call.return_url,
                key=f"{call.attempt_id}:confirm",
                deadline=_within(call, _FIRST_SHARE),
            )
        except (Refused, OutcomeUnknown) as error:
            return self._after_doubtful_confirm(call, intent_id, error, deadline)
        return self._judge_or_close(call, intent, deadline)

    def capture(self, call: Call) -> Result:
        """Capture; Stripe releases the rest."""

        def send(intent_id: str, deadline: datetime) -> stripe.PaymentIntent:
            metadata = {"capture_attempt_id": call.attempt_id}
            key = f"{call.attempt_id}:capture"
            return self._api.capture(intent_id, call.amount, metadata=metadata, key=key, deadline=deadline)

        return self._settle(call, send)

    def void(self, call: Call) -> Result:
        """Cancel the authorized PaymentIntent."""
        key = f"{call.attempt_id}:cancel"
        return self._settle(call, lambda intent_id, end: self._api.cancel(intent_id, key=key, deadline=end))

    def refund(self, call: Call) -> Result:
        """Refund, marked with the attempt so that it can be found again."""
        if call.charge_reference is None:
            return Result(outcome=Outcome.NOT_DONE, detail="the payment has no PaymentIntent")
        deadline = _within(call)
        params: stripe.params.RefundCreateParams = {
            "payment_intent": call.charge_reference,
            "amount": call.amount,
            "metadata": {ATTEMPT: call.attempt_id, "payment_id": call.payment_id},
        }
        if call.reason in _REASONS:
            params["reason"] = call.reason
        key = f"{call.attempt_id}:refund"
        try:
            return refund_result(self._api.refund(params, key=key, deadline=_within(call, _FIRST_SHARE)))
        except (Refused, OutcomeUnknown) as error:
            found = self._look_up(call, deadline)
            if found.outcome is not Outcome.NOT_FOUND:
                return found
            if isinstance(error, Refused):
                return Result(outcome=Outcome.DECLINED, decline_code=DeclineCode.REFUND_REFUSED, detail=words(error))
            return unknown(None, f"no answer to the refund ({error})")

    def look_up(self, call: Call) -> Result:
        """Ask what became of the attempt; changes nothing."""
        return self._look_up(call, _within(call))

    def abandon(self, call: Call) -> Result:
        """Cancel a PaymentIntent that was not confirmed, or whose customer did not come back."""
        return self._abandon(call, _within(call))

    # ---- what became of it ------------------------------------------------------------------------------------------
    def _look_up(self, call: Call, deadline: datetime) -> Result:
        intent_id = _intent_id(call)
        if intent_id is None:
            return Result(outcome=Outcome.NOT_FOUND, detail="no PaymentIntent is known")
        try:
            if call.kind is CallKind.REFUND:
                return find_refund(call, self._api.refunds(intent_id, deadline=deadline))
            return judge(call, self._api.retrieve(intent_id, deadline=deadline))
        except Refused as refused:
            return unknown(intent_id, f"the look-up was {words(refused)}")
        except OutcomeUnknown as doubt:
            return unknown(intent_id, f"no answer to the look-up ({doubt})")

    def _abandon(self, call: Call, deadline: datetime) -> Result:
        intent_id = _intent_id(call)
        if intent_id is None:
            return Result(outcome=Outcome.NOT_FOUND, detail="no PaymentIntent is known")
        try:
            return judge(call, self._api.cancel(intent_id, key=f"{call.attempt_id}:abandon", deadline=deadline))
        except (Refused, OutcomeUnknown) as error:
            found = self._look_up(call, deadline)
            if found.outcome in {Outcome.UNCONFIRMED, Outcome.REQUIRES_ACTION}:
                return unknown(intent_id, f"the cancellation did not take place ({error})")
            return found

    def _after_doubtful_confirm(
        self, call: Call, intent_id: str, error: Refused | OutcomeUnknown, deadline: datetime
    ) -> Result:
        """The confirmation was refused or not answered: the PaymentIntent itself tells what is true."""
        try:
            intent = self._api.retrieve(intent_id, deadline=deadline)
        except (Refused, OutcomeUnknown) as again:
            return unknown(intent_id, f"no answer to the confirmation ({error}), nor to the look-up ({again})")
        if isinstance(error, OutcomeUnknown) and intent.status == "requires_confirmation":
            return unknown(intent_id, f"the confirmation had no answer ({error}) and may be under way")
        return self._judge_or_close(call, intent, deadline)

    def _judge_or_close(self, call: Call, intent: stripe.PaymentIntent, deadline: datetime) -> Result:
        """The outcome, after closing what must not be confirmed again."""
        result = judge(call, intent)
        # Without a return_url Stripe wants its own script in the customer's browser to act; we serve none.
        stranded = result.outcome is Outcome.REQUIRES_ACTION and result.redirect_url is None
        if result.outcome is Outcome.UNCONFIRMED or stranded:
            return self._abandon(call, deadline)
        return result

    def _settle(self, call: Call, send: Callable[[str, datetime], stripe.PaymentIntent]) -> Result:
        """Send a capture or cancellation; a refusal or silence is settled by the PaymentIntent's own figures."""
        if call.charge_reference is None:
            return Result(outcome=Outcome.NOT_DONE, detail="the payment has no PaymentIntent")
        deadline = _within(call)
        try:
            return judge(call, send(call.charge_reference, _within(call, _FIRST_SHARE)))
        except (Refused, OutcomeUnknown) as error:
            found = self._look_up(call, deadline)
            if found.outcome is not Outcome.NOT_FOUND:
                return found
            if isinstance(error, Refused):
                return Result(outcome=Outcome.DECLINED, decline_code=decline_code(error), detail=words(error))
            return unknown(call.charge_reference, f"no answer ({error}), and it may be under way")


def _intent_id(call: Call) -> str | None:
    """The PaymentIntent that ``call`` is about; an operation's own reference is something else."""
    return call.charge_reference or (call.reference if call.kind is CallKind.PAYMENT else None)


def _within(call: Call, share: float = 1.0) -> datetime:
    """The moment at which ``share`` of the call's time is used up."""
    return datetime.now(UTC) + timedelta(seconds=call.timeout * share)
