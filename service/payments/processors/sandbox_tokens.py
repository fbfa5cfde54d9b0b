"""The sandbox's payment methods, and what each one simulates. Stable, and documented in the API reference."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from payments.domain.operations import CallKind
from payments.domain.outcomes import DeclineCode, Outcome


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What a call results in, and whether its response arrives."""

    outcome: Outcome = Outcome.APPROVED
    decline_code: DeclineCode | None = None
    #: What a pending outcome turns into.
    settles_as: Outcome | None = None
    #: The call is carried out, but the response is lost.
    response_lost: bool = False


_DECLINED = Outcome.DECLINED


@dataclass(frozen=True, kw_only=True)
class TestPaymentMethod:
    """A payment method."""

    #: For the API reference.
    meaning: str
    payment: Behaviour = Behaviour()
    #: Operations on the payment that do not simply succeed.
    operations: Mapping[CallKind, Behaviour] = field(default_factory=dict)

    def behaviour(self, kind: CallKind) -> Behaviour:
        """Return what a call of ``kind`` results in."""
        return self.payment if kind is CallKind.PAYMENT else self.operations.get(kind, Behaviour())


def _declined(meaning: str, code: DeclineCode) -> TestPaymentMethod:
    return TestPaymentMethod(meaning=meaning, payment=Behaviour(outcome=_DECLINED, decline_code=code))


def _later(meaning: str, kind: CallKind, behaviour: Behaviour) -> TestPaymentMethod:
    return TestPaymentMethod(meaning=meaning, operations={kind: behaviour})


_GENERIC = DeclineCode.GENERIC_DECLINE
TOKENS: Mapping[str, TestPaymentMethod] = {
    "tok_visa": TestPaymentMethod(meaning="Approved."),
    "tok_declined": _declined("Declined by the issuer, without a reason.", _GENERIC),
    "tok_insufficient_funds": _declined("Declined: insufficient funds.", DeclineCode.INSUFFICIENT_FUNDS),
    "tok_expired_card": _declined("Declined: the card has expired.", DeclineCode.EXPIRED_CARD),
    "tok_fraudulent": _declined("Declined as fraudulent.", DeclineCode.FRAUDULENT),
    "tok_3ds": TestPaymentMethod(
        meaning="Requires 3-D Secure: redirect the customer to `next_action.redirect_to_url.url`.",
        payment=Behaviour(outcome=Outcome.REQUIRES_ACTION),
    ),
    "tok_lost_approved": TestPaymentMethod(
        meaning="Approved, but the processor's response is lost: 202, later approved.",
        payment=Behaviour(response_lost=True),
    ),
    "tok_lost_declined": TestPaymentMethod(
        meaning="Declined, but the processor's response is lost: 202, later declined.",
        payment=Behaviour(outcome=_DECLINED, decline_code=_GENERIC, response_lost=True),
    ),
    "tok_pending_approved": TestPaymentMethod(
        meaning="Pending at the processor: 202, later approved.",
        payment=Behaviour(outcome=Outcome.PENDING, settles_as=Outcome.APPROVED),
    ),
    "tok_pending_declined": TestPaymentMethod(
        meaning="Pending at the processor: 202, later declined.",
        payment=Behaviour(outcome=Outcome.PENDING, settles_as=_DECLINED, decline_code=_GENERIC),
    ),
    "tok_processor_error": TestPaymentMethod(
        meaning="The processor fails without charging anything: 402, retryable.",
        payment=Behaviour(outcome=Outcome.NOT_DONE, decline_code=DeclineCode.PROCESSING_ERROR),
    ),
    "tok_capture_declined": _later(
        "Approved; captures are declined.", CallKind.CAPTURE, Behaviour(outcome=_DECLINED, decline_code=_GENERIC)
    ),
    "tok_capture_expired": _later(
        "Approved; by the time of capture the authorization has expired.",
        CallKind.CAPTURE,
        Behaviour(outcome=Outcome.EXPIRED),
    ),
    "tok_capture_lost": _later(
        "Approved; captures succeed, but their responses are lost.", CallKind.CAPTURE, Behaviour(response_lost=True)
    ),
    "tok_void_declined": _later(
        "Approved; voids are declined.", CallKind.VOID, Behaviour(outcome=_DECLINED, decline_code=_GENERIC)
    ),
    "tok_void_lost": _later(
        "Approved; voids succeed, but their responses are lost.", CallKind.VOID, Behaviour(response_lost=True)
    ),
    "tok_refund_declined": _later(
        "Approved; refunds are declined.",
        CallKind.REFUND,
        Behaviour(outcome=_DECLINED, decline_code=DeclineCode.REFUND_REFUSED),
    ),
    "tok_refund_lost": _later(
        "Approved; refunds succeed, but their responses are lost.", CallKind.REFUND, Behaviour(response_lost=True)
    ),
    "tok_refund_pending": _later(
        "Approved; refunds are pending at first, then succeed.",
        CallKind.REFUND,
        Behaviour(outcome=Outcome.PENDING, settles_as=Outcome.APPROVED),
    ),
}
