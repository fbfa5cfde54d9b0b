"""What is known about something that was asked of a processor."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The truth about an attempt, as far as it is established."""

    #: Done: authorized, captured, released, refunded.
    APPROVED = "approved"
    #: Refused, for good.
    DECLINED = "declined"
    #: Surely not done, and surely never will be.
    NOT_DONE = "not_done"
    #: The authorization was no longer there to capture.
    EXPIRED = "expired"
    #: The customer has to act (3-D Secure).
    REQUIRES_ACTION = "requires_action"
    #: The processor has it and will tell later.
    PENDING = "pending"
    #: Nothing is established: time-out, reset, 5xx, nonsense.
    UNKNOWN = "unknown"
    #: The processor has nothing under this key. No evidence: the request may still be under way.
    NOT_FOUND = "not_found"
    #: The processor has an object that was never confirmed: it moves no money until somebody confirms it.
    UNCONFIRMED = "unconfirmed"
    #: The object that `authorize` will confirm is there.
    PREPARED = "prepared"


#: Outcomes that settle an attempt.
FINAL = frozenset({Outcome.APPROVED, Outcome.DECLINED, Outcome.NOT_DONE, Outcome.EXPIRED})


class DeclineCode(StrEnum):
    """Why a payment was declined: stable, whatever the processor calls it."""

    GENERIC_DECLINE = "generic_decline"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    EXPIRED_CARD = "expired_card"
    INCORRECT_CVC = "incorrect_cvc"
    LOST_CARD = "lost_card"
    STOLEN_CARD = "stolen_card"
    FRAUDULENT = "fraudulent"
    DO_NOT_HONOR = "do_not_honor"
    CARD_NOT_SUPPORTED = "card_not_supported"
    CURRENCY_NOT_SUPPORTED = "currency_not_supported"
    AUTHENTICATION_FAILED = "authentication_failed"
    LIMIT_EXCEEDED = "limit_exceeded"
    PROCESSING_ERROR = "processing_error"
    AUTHORIZATION_EXPIRED = "authorization_expired"
    REFUND_REFUSED = "refund_refused"


class Advice(StrEnum):
    """What to do about a decline."""

    #: The same request may work later, under a new Idempotency-Key.
    TRY_AGAIN_LATER = "try_again_later"
    #: The customer has to choose another way to pay.
    USE_ANOTHER_METHOD = "use_another_method"
    #: The customer has to ask the issuer.
    CONTACT_ISSUER = "contact_issuer"
    #: The customer has to correct what was entered.
    CORRECT_DETAILS = "correct_details"
    #: Nothing will make this succeed.
    DO_NOT_RETRY = "do_not_retry"


_ADVICE: dict[DeclineCode, Advice] = {
    DeclineCode.GENERIC_DECLINE: Advice.CONTACT_ISSUER,
    DeclineCode.INSUFFICIENT_FUNDS: Advice.TRY_AGAIN_LATER,
    DeclineCode.EXPIRED_CARD: Advice.CORRECT_DETAILS,
    DeclineCode.INCORRECT_CVC: Advice.CORRECT_DETAILS,
    DeclineCode.LOST_CARD: Advice.DO_NOT_RETRY,
    DeclineCode.STOLEN_CARD: Advice.DO_NOT_RETRY,
    DeclineCode.FRAUDULENT: Advice.DO_NOT_RETRY,
    DeclineCode.DO_NOT_HONOR: Advice.CONTACT_ISSUER,
    DeclineCode.CARD_NOT_SUPPORTED: Advice.USE_ANOTHER_METHOD,
    DeclineCode.CURRENCY_NOT_SUPPORTED: Advice.USE_ANOTHER_METHOD,
    DeclineCode.AUTHENTICATION_FAILED: Advice.USE_ANOTHER_METHOD,
    DeclineCode.LIMIT_EXCEEDED: Advice.TRY_AGAIN_LATER,
    DeclineCode.PROCESSING_ERROR: Advice.TRY_AGAIN_LATER,
    DeclineCode.AUTHORIZATION_EXPIRED: Advice.DO_NOT_RETRY,
    DeclineCode.REFUND_REFUSED: Advice.DO_NOT_RETRY,
}


def advice_for(code: DeclineCode) -> Advice:
    """What to do about ``code``."""
    return _ADVICE[code]


def is_retryable(code: DeclineCode) -> bool:
    """Whether the very same request may succeed later."""
    return advice_for(code) is Advice.TRY_AGAIN_LATER


@dataclass(frozen=True, kw_only=True)
class Result:
    """An outcome with what the processor said about it."""

    outcome: Outcome
    #: The processor's id of the object that the attempt made.
    reference: str | None = None
    decline_code: DeclineCode | None = None
    #: Where the customer's browser has to go, for ``REQUIRES_ACTION``.
    redirect_url: str | None = None
    #: For the log and for the people who resolve; never shown to merchants.
    detail: str = ""

    @property
    def is_final(self) -> bool:
        """Whether it settles the attempt."""
        return self.outcome in FINAL
