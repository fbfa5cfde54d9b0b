"""The sandbox's payment methods: what each makes happen. Documented in the reference, stable."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from payments.domain.operations import CallKind
from payments.domain.outcomes import DeclineCode, Outcome


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What a call does, and whether its answer arrives."""

    outcome: Outcome = Outcome.APPROVED
    decline_code: DeclineCode | None = None
    #: What a pending outcome becomes.
    settles_as: Outcome | None = None
    #: The processor does it, and the answer is lost on the way.
    answer_lost: bool = False


_DECLINED = Outcome.DECLINED


@dataclass(frozen=True, kw_only=True)
class TestPaymentMethod:
    """A payment method."""

    meaning: str
    payment: Behaviour = Behaviour()
    #: Where later calls on the payment do something else than succeed.
    operations: Mapping[CallKind, Behaviour] = field(default_factory=dict)

    def behaviour(self, kind: CallKind) -> Behaviour:
        """What a call of ``kind`` does."""
        return self.payment if kind is CallKind.PAYMENT else self.operations.get(kind, Behaviour())


def _declined(meaning: str, code: DeclineCode) -> TestPaymentMethod:
    return TestPaymentMethod(meaning=meaning, payment=Behaviour(outcome=_DECLINED, decline_code=code))


def _later(meaning: str, kind: CallKind, behaviour: Behaviour) -> TestPaymentMethod:
    return TestPaymentMethod(meaning=meaning, operations={kind: behaviour})


_GENERIC = DeclineCode.GENERIC_DECLINE
TOKENS: Mapping[str, TestPaymentMethod] = {
    "tok_visa": TestPaymentMethod(meaning="Approved."),
    "tok_declined": _declined("Declined by the issuer, without a reason.", _GENERIC),
    "tok_insufficient_funds": _declined("Declined: not enough money.", DeclineCode.INSUFFICIENT_FUNDS),
    "tok_expired_card": _declined("Declined: the card has expired.", DeclineCode.EXPIRED_CARD),
    "tok_fraudulent": _declined("Declined as fraudulent.", DeclineCode.FRAUDULENT),
    "tok_3ds": TestPaymentMethod(
        meaning="Needs 3-D Secure: send the customer to `next_action.redirect_to_url.url`.",
        payment=Behaviour(outcome=Outcome.REQUIRES_ACTION),
    ),
    "tok_lost_approved": TestPaymentMethod(
        meaning="Approved, but the processor's answer is lost: 202, then settled as approved.",
        payment=Behaviour(answer_lost=True),
    ),
    "tok_lost_declined": TestPaymentMethod(
        meaning="Declined, but the processor's answer is lost: 202, then settled as declined.",
        payment=Behaviour(outcome=_DECLINED, decline_code=_GENERIC, answer_lost=True),
    ),
    "tok_pending_approved": TestPaymentMethod(
        meaning="The processor decides later: 202, then settled as approved.",
        payment=Behaviour(outcome=Outcome.PENDING, settles_as=Outcome.APPROVED),
    ),
    "tok_pending_declined": TestPaymentMethod(
        meaning="The processor decides later: 202, then settled as declined.",
        payment=Behaviour(outcome=Outcome.PENDING, settles_as=_DECLINED, decline_code=_GENERIC),
    ),
    "tok_processor_error": TestPaymentMethod(
        meaning="The processor fails and surely did nothing: 402, retryable.",
        payment=Behaviour(outcome=Outcome.NOT_DONE, decline_code=DeclineCode.PROCESSING_ERROR),
    ),
    "tok_capture_declined": _later(
        "Approved; captures are refused.", CallKind.CAPTURE, Behaviour(outcome=_DECLINED, decline_code=_GENERIC)
    ),
    "tok_capture_expired": _later(
        "Approved; at capture the authorization has expired.", CallKind.CAPTURE, Behaviour(outcome=Outcome.EXPIRED)
    ),
    "tok_capture_lost": _later(
        "Approved; captures are done, but their answers are lost.", CallKind.CAPTURE, Behaviour(answer_lost=True)
    ),
    "tok_void_declined": _later(
        "Approved; voids are refused.", CallKind.VOID, Behaviour(outcome=_DECLINED, decline_code=_GENERIC)
    ),
    "tok_void_lost": _later(
        "Approved; voids are done, but their answers are lost.", CallKind.VOID, Behaviour(answer_lost=True)
    ),
    "tok_refund_declined": _later(
        "Approved; refunds are refused.",
        CallKind.REFUND,
        Behaviour(outcome=_DECLINED, decline_code=DeclineCode.REFUND_REFUSED),
    ),
    "tok_refund_lost": _later(
        "Approved; refunds are done, but their answers are lost.", CallKind.REFUND, Behaviour(answer_lost=True)
    ),
    "tok_refund_pending": _later(
        "Approved; refunds are decided later, as approved.",
        CallKind.REFUND,
        Behaviour(outcome=Outcome.PENDING, settles_as=Outcome.APPROVED),
    ),
}
