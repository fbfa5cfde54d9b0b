"""Stripe as a processor: PaymentIntents are created unconfirmed, and confirmed once their id is committed.

* `prepare` creates the PaymentIntent. It moves no money and nobody else can confirm it, so even a lost response proves
  that nothing was charged.
* `authorize` confirms it. Whatever remains unclear is looked up by id. While unconfirmed, a request in progress may yet
  confirm it: it is `UNKNOWN` until the deadline, and then abandoned, that is cancelled, which is final.
* A decline leaves a PaymentIntent that could be confirmed again: it is cancelled before the payment fails.
* Captures are recognized by the change of `amount_received`, refunds by our attempt id in their metadata, from a list.
  Stripe's search is not used: it lags behind.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import stripe

from payments.domain.outcomes import DeclineCode, Outcome, Result
from payments.domain.snapshots import PaymentSnapshot
from payments.processors import stripe_amounts, stripe_webhooks
from payments.processors.base import Call, CallKind, Capabilities
from payments.processors.circuit import CircuitBreaker, CircuitOpen
from payments.processors.inbound import ProcessorEvent
from payments.processors.stripe_amounts import to_stripe
from payments.processors.stripe_api import Indeterminate, RequestRefused, StripeApi
from payments.processors.stripe_metadata import metadata_for
from payments.processors.stripe_outcomes import (
    ATTEMPT_METADATA,
    CAPTURE_METADATA,
    classify,
    find_refund,
    misconfigured,
    refund_result,
    refused_payment,
    refused_refund,
    unknown_result,
)
from payments.processors.stripe_reasons import Reason
from payments.processors.stripe_snapshots import StripeSnapshots

#: Stripe forgets idempotency keys after 24 hours; one hour is a safety margin for clocks and queues.
KEY_VALIDITY = timedelta(hours=23)
#: How long Stripe allows the authorization of a card to be captured.
AUTHORIZATION_VALIDITY = timedelta(days=7)
_METHOD = re.compile(r"^pm_[A-Za-z0-9_]{1,250}$")
_LIVE_KEY = re.compile(r"[rs]k_live_.+")
#: Share of a call's time that the request itself may take; the rest is reserved for looking up its outcome.
_SEND_SHARE = 0.6
_REASONS = frozenset({"duplicate", "fraudulent", "requested_by_customer"})


class StripeProcessor:
    """Moves money through one Stripe account in one mode."""

    name = "stripe"
    payment_method_pattern = _METHOD.pattern
    capabilities = Capabilities(
        multicapture=False,  # depends on the eligibility of account and card
        key_validity=KEY_VALIDITY,
        authorization_validity=AUTHORIZATION_VALIDITY,
    )

    def __init__(self, *, api_key: str, webhook_secret: str = "", base_url: str = "https://api.stripe.com") -> None:
        self._webhook_secret = webhook_secret
        self._livemode = _LIVE_KEY.fullmatch(api_key) is not None
        self._breaker = CircuitBreaker()
        self._api = StripeApi(api_key=api_key, breaker=self._breaker, base_url=base_url)
        self._snapshots = StripeSnapshots(api_key=api_key, base_url=base_url)

    def payment_method_error(self, payment_method: str) -> str | None:
        """Accept PaymentMethods only, which Stripe's own form creates in the customer's browser."""
        if _METHOD.fullmatch(payment_method):
            return None
        return "payment_method must be the id of a Stripe PaymentMethod (pm_...)."

    def currency_error(self, currency: str) -> str | None:
        """Refuse what Stripe supports in no country."""
        return stripe_amounts.currency_error(currency)

    def amount_error(self, kind: CallKind, amount: int, currency: str) -> str | None:
        """Refuse what Stripe's units cannot express, and charges beyond its limits."""
        check = stripe_amounts.charge_error if kind is CallKind.PAYMENT else stripe_amounts.amount_error
        return check(amount, currency)

    def is_available(self) -> bool:
        """Return whether the circuit breaker lets a call through."""
        try:
            self._breaker.check()
        except CircuitOpen:
            return False
        return True

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProcessorEvent:
        """Verify a message from Stripe, and return the event in it.

        Raises:
            InvalidSignature: The message is not from Stripe, or too old.
        """
        return stripe_webhooks.read(body, headers.get(stripe_webhooks.SIGNATURE_HEADER), secret=self._webhook_secret)

    def retrieve(self, references: Sequence[str], *, timeout: float) -> PaymentSnapshot | None:
        """Return the payment that one of Stripe's objects belongs to, with everything done to it.

        Raises:
            RetrievalFailed: Stripe did not respond, or refused.
            Contradiction: Its object makes no sense to us.
        """
        return self._snapshots.retrieve_payment(references, timeout=timeout)

    def prepare(self, call: Call) -> Result:
        """Create the unconfirmed PaymentIntent. Without it nothing can be charged: a failure is ``NOT_DONE``."""
        if call.livemode != self._livemode:
            self._breaker.failed()  # every payment would end like this: stop accepting them
            return Result(outcome=Outcome.MISCONFIGURED, detail="the Stripe key belongs to the other mode")
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": to_stripe(call.amount, call.currency),
            "currency": call.currency.lower(),
            "payment_method": call.payment_method,
            "allowed_payment_method_types": ["card"],
            "capture_method": "automatic" if call.final else "manual",
            "confirm": False,
            "metadata": metadata_for(call),
        }
        if call.description:
            params["description"] = call.description
        try:
            intent = self._api.create_intent(params, key=f"{call.attempt_id}:create", deadline=_deadline(call))
        except RequestRefused as refusal:
            reason = refusal.reason
            return misconfigured(reason) if reason.is_our_fault else refused_payment(reason)
        except Indeterminate as error:
            detail = f"the PaymentIntent could not be created ({error}); unconfirmed, it charges nothing"
            return Result(outcome=Outcome.NOT_DONE, decline_code=DeclineCode.PROCESSING_ERROR, detail=detail)
        return Result(outcome=Outcome.PREPARED, reference=intent.id)

    def authorize(self, call: Call) -> Result:
        """Confirm the prepared PaymentIntent."""
        intent_id = call.charge_reference or call.reference
        if intent_id is None:
            return Result(outcome=Outcome.NOT_DONE, detail="nothing was prepared")
        deadline = _deadline(call)
        try:
            intent = self._api.confirm(
                intent_id,
                return_url=call.return_url,
                key=f"{call.attempt_id}:confirm",
                deadline=_deadline(call, _SEND_SHARE),
            )
        except (RequestRefused, Indeterminate) as error:
            return self._after_failed_confirm(call, intent_id, error, deadline)
        return self._classify_or_close(call, intent, deadline)

    def capture(self, call: Call) -> Result:
        """Capture; Stripe releases the rest."""

        def send(intent_id: str, deadline: datetime) -> stripe.PaymentIntent:
            amount, metadata = to_stripe(call.amount, call.currency), {CAPTURE_METADATA: call.attempt_id}
            key = f"{call.attempt_id}:capture"
            return self._api.capture(intent_id, amount, metadata=metadata, key=key, deadline=deadline)

        return self._change(call, send)

    def void(self, call: Call) -> Result:
        """Cancel the authorized PaymentIntent."""
        key = f"{call.attempt_id}:cancel"
        return self._change(call, lambda intent_id, deadline: self._api.cancel(intent_id, key=key, deadline=deadline))

    def refund(self, call: Call) -> Result:
        """Refund, marked with the attempt id so that the refund can be found again."""
        if call.charge_reference is None:
            return Result(outcome=Outcome.NOT_DONE, detail="the payment has no PaymentIntent")
        deadline = _deadline(call)
        params: stripe.params.RefundCreateParams = {
            "payment_intent": call.charge_reference,
            "amount": to_stripe(call.amount, call.currency),
            "metadata": {ATTEMPT_METADATA: call.attempt_id, "payment_id": call.payment_id},
        }
        if call.reason in _REASONS:
            params["reason"] = call.reason
        key = f"{call.attempt_id}:refund"
        try:
            return refund_result(self._api.refund(params, key=key, deadline=_deadline(call, _SEND_SHARE)))
        except (RequestRefused, Indeterminate) as error:
            return self._after_failed_change(call, error, deadline)

    def look_up(self, call: Call) -> Result:
        """Return the outcome of the attempt; changes nothing."""
        return self._look_up(call, _deadline(call))

    def abandon(self, call: Call) -> Result:
        """Cancel a PaymentIntent that was not confirmed, or whose customer did not return."""
        return self._abandon(call, _deadline(call))

    def _look_up(self, call: Call, deadline: datetime, refused: Reason | None = None) -> Result:
        """Look up an attempt, which Stripe has refused if ``refused`` is given."""
        intent_id = _intent_id(call)
        if intent_id is None:
            return Result(outcome=Outcome.NOT_FOUND, detail="no PaymentIntent is known")
        try:
            if call.kind is not CallKind.REFUND:
                return classify(call, self._api.retrieve(intent_id, deadline=deadline), refused)
            found = find_refund(call, self._api.list_refunds(intent_id, deadline=deadline))
        except RequestRefused as refusal:
            reason, reference = refusal.reason, None if call.kind is CallKind.REFUND else intent_id
            if reason.is_our_fault:
                return misconfigured(reason, reference=reference)
            return unknown_result(reference, f"look-up {reason.describe()}")
        except Indeterminate as error:
            reference = None if call.kind is CallKind.REFUND else intent_id
            return unknown_result(reference, f"no response to the look-up ({error})")
        return found if refused is None or found.outcome is not Outcome.NOT_FOUND else refused_refund(refused)

    def _abandon(self, call: Call, deadline: datetime) -> Result:
        intent_id = _intent_id(call)
        if intent_id is None:
            return Result(outcome=Outcome.NOT_FOUND, detail="no PaymentIntent is known")
        try:
            return classify(call, self._api.cancel(intent_id, key=f"{call.attempt_id}:abandon", deadline=deadline))
        except (RequestRefused, Indeterminate) as error:
            if isinstance(error, RequestRefused) and error.reason.is_our_fault:
                return misconfigured(error.reason, reference=intent_id)
            found = self._look_up(call, deadline)
            if found.outcome in {Outcome.UNCONFIRMED, Outcome.REQUIRES_ACTION}:
                return unknown_result(intent_id, f"the cancellation failed ({error})")
            return found

    def _after_failed_confirm(
        self, call: Call, intent_id: str, error: RequestRefused | Indeterminate, deadline: datetime
    ) -> Result:
        """Look up a PaymentIntent whose confirmation was refused or got no response."""
        refused = error.reason if isinstance(error, RequestRefused) else None
        if refused is not None and refused.is_our_fault:
            return misconfigured(refused, reference=intent_id)
        try:
            intent = self._api.retrieve(intent_id, deadline=deadline)
        except (RequestRefused, Indeterminate) as lookup_error:
            return unknown_result(
                intent_id, f"no response to the confirmation ({error}), nor to the look-up ({lookup_error})"
            )
        if refused is None and intent.status == "requires_confirmation":
            return unknown_result(intent_id, f"no response to the confirmation ({error}), which may be in progress")
        result = self._classify_or_close(call, intent, deadline)
        if refused is not None and result.outcome is Outcome.NOT_DONE:
            return refused_payment(refused, reference=intent_id)  # which says more than that it is canceled now
        return result

    def _classify_or_close(self, call: Call, intent: stripe.PaymentIntent, deadline: datetime) -> Result:
        """Return the outcome, after cancelling what must not be confirmed again."""
        result = classify(call, intent)
        # Without a return_url, only Stripe's own script in the browser could continue, and we do not serve it.
        stranded = result.outcome is Outcome.REQUIRES_ACTION and result.redirect_url is None
        if stranded:
            abandoned = self._abandon(call, deadline)
            return replace(abandoned, decline_code=abandoned.decline_code or DeclineCode.AUTHENTICATION_FAILED)
        return self._abandon(call, deadline) if result.outcome is Outcome.UNCONFIRMED else result

    def _change(self, call: Call, send: Callable[[str, datetime], stripe.PaymentIntent]) -> Result:
        """Send a capture or cancellation."""
        if call.charge_reference is None:
            return Result(outcome=Outcome.NOT_DONE, detail="the payment has no PaymentIntent")
        deadline = _deadline(call)
        try:
            return classify(call, send(call.charge_reference, _deadline(call, _SEND_SHARE)))
        except (RequestRefused, Indeterminate) as error:
            return self._after_failed_change(call, error, deadline)

    def _after_failed_change(self, call: Call, error: RequestRefused | Indeterminate, deadline: datetime) -> Result:
        """Look up the outcome of a capture, cancellation or refund that was refused or got no response."""
        reference = None if call.kind is CallKind.REFUND else call.charge_reference
        if isinstance(error, RequestRefused):
            if error.reason.is_our_fault:
                return misconfigured(error.reason, reference=reference)
            return self._look_up(call, deadline, error.reason)
        found = self._look_up(call, deadline)
        if found.outcome is not Outcome.NOT_FOUND:
            return found
        return unknown_result(reference, f"no response to the {call.kind} ({error}), which may be in progress")


def _intent_id(call: Call) -> str | None:
    """Return the PaymentIntent that ``call`` concerns; the own reference of an operation is another object."""
    return call.charge_reference or (call.reference if call.kind is CallKind.PAYMENT else None)


def _deadline(call: Call, share: float = 1.0) -> datetime:
    """Return when ``share`` of the call's time will be used up."""
    return datetime.now(UTC) + timedelta(seconds=call.timeout * share)
