"""What is known about a call to a processor."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict


class Outcome(StrEnum):
    """The outcome of an attempt, as far as it is established."""

    #: Done: authorized, captured, released, refunded.
    APPROVED = "approved"
    #: Refused, for good.
    DECLINED = "declined"
    #: Certainly not done, and certainly never will be.
    NOT_DONE = "not_done"
    #: The authorization was no longer there to capture.
    EXPIRED = "expired"
    #: The customer has to act (3-D Secure).
    REQUIRES_ACTION = "requires_action"
    #: The processor accepted it and will decide later.
    PENDING = "pending"
    #: Nothing is established: a time-out, a reset connection, a 5xx, a response that makes no sense.
    UNKNOWN = "unknown"
    #: The processor has nothing under this key. Not evidence: the request may still be on its way.
    NOT_FOUND = "not_found"
    #: The processor has an object that was never confirmed: it moves no money until it is.
    UNCONFIRMED = "unconfirmed"
    #: The object that `authorize` will confirm exists.
    PREPARED = "prepared"
    #: Our own key, account or software is refused. Says nothing about the payment; sent again once that is mended.
    MISCONFIGURED = "misconfigured"


#: The outcomes that settle an attempt.
FINAL = frozenset({Outcome.APPROVED, Outcome.DECLINED, Outcome.NOT_DONE, Outcome.EXPIRED})


class DeclineCode(StrEnum):
    """Why a payment was declined: stable, whatever the processor calls it."""

    GENERIC_DECLINE = "generic_decline"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    EXPIRED_CARD = "expired_card"
    INCORRECT_CVC = "incorrect_cvc"
    INCORRECT_DETAILS = "incorrect_details"
    LOST_CARD = "lost_card"
    STOLEN_CARD = "stolen_card"
    FRAUDULENT = "fraudulent"
    DO_NOT_HONOR = "do_not_honor"
    CARD_NOT_SUPPORTED = "card_not_supported"
    CURRENCY_NOT_SUPPORTED = "currency_not_supported"
    AUTHENTICATION_FAILED = "authentication_failed"
    LIMIT_EXCEEDED = "limit_exceeded"
    DUPLICATE_TRANSACTION = "duplicate_transaction"
    INVALID_AMOUNT = "invalid_amount"
    INVALID_PAYMENT_METHOD = "invalid_payment_method"
    INVALID_REQUEST = "invalid_request"
    INVALID_STATE = "invalid_state"
    PROCESSING_ERROR = "processing_error"
    ALREADY_CAPTURED = "already_captured"
    ALREADY_REFUNDED = "already_refunded"
    DISPUTED = "disputed"
    AUTHORIZATION_EXPIRED = "authorization_expired"
    REFUND_REFUSED = "refund_refused"


class Advice(StrEnum):
    """What the merchant should do about a decline."""

    #: The same request may work later, under a new Idempotency-Key.
    TRY_AGAIN_LATER = "try_again_later"
    #: The customer has to choose another payment method.
    USE_ANOTHER_METHOD = "use_another_method"
    #: The customer has to ask the issuer.
    CONTACT_ISSUER = "contact_issuer"
    #: The customer has to correct the card details.
    CORRECT_DETAILS = "correct_details"
    #: Retrying cannot succeed.
    DO_NOT_RETRY = "do_not_retry"


_ADVICE: dict[DeclineCode, Advice] = {
    DeclineCode.GENERIC_DECLINE: Advice.CONTACT_ISSUER,
    DeclineCode.INSUFFICIENT_FUNDS: Advice.TRY_AGAIN_LATER,
    DeclineCode.EXPIRED_CARD: Advice.CORRECT_DETAILS,
    DeclineCode.INCORRECT_CVC: Advice.CORRECT_DETAILS,
    DeclineCode.INCORRECT_DETAILS: Advice.CORRECT_DETAILS,
    DeclineCode.LOST_CARD: Advice.DO_NOT_RETRY,
    DeclineCode.STOLEN_CARD: Advice.DO_NOT_RETRY,
    DeclineCode.FRAUDULENT: Advice.DO_NOT_RETRY,
    DeclineCode.DO_NOT_HONOR: Advice.CONTACT_ISSUER,
    DeclineCode.CARD_NOT_SUPPORTED: Advice.USE_ANOTHER_METHOD,
    DeclineCode.CURRENCY_NOT_SUPPORTED: Advice.USE_ANOTHER_METHOD,
    DeclineCode.AUTHENTICATION_FAILED: Advice.USE_ANOTHER_METHOD,
    DeclineCode.LIMIT_EXCEEDED: Advice.TRY_AGAIN_LATER,
    DeclineCode.DUPLICATE_TRANSACTION: Advice.DO_NOT_RETRY,
    DeclineCode.INVALID_AMOUNT: Advice.DO_NOT_RETRY,
    DeclineCode.INVALID_PAYMENT_METHOD: Advice.USE_ANOTHER_METHOD,
    DeclineCode.INVALID_REQUEST: Advice.DO_NOT_RETRY,
    DeclineCode.INVALID_STATE: Advice.DO_NOT_RETRY,
    DeclineCode.PROCESSING_ERROR: Advice.TRY_AGAIN_LATER,
    DeclineCode.ALREADY_CAPTURED: Advice.DO_NOT_RETRY,
    DeclineCode.ALREADY_REFUNDED: Advice.DO_NOT_RETRY,
    DeclineCode.DISPUTED: Advice.DO_NOT_RETRY,
    DeclineCode.AUTHORIZATION_EXPIRED: Advice.DO_NOT_RETRY,
    DeclineCode.REFUND_REFUSED: Advice.DO_NOT_RETRY,
}


def advice_for(code: DeclineCode) -> Advice:
    """Return what to do about ``code``, unless the processor knows better."""
    return _ADVICE[code]


@dataclass(frozen=True, kw_only=True)
class Result:
    """An outcome, with what the processor said about it."""

    outcome: Outcome
    #: The processor's id of the object that the attempt created.
    reference: str | None = None
    decline_code: DeclineCode | None = None
    #: What the processor advises; the usual advice for ``decline_code`` if ``None``.
    advice: Advice | None = None
    #: Where the customer's browser has to go, for ``REQUIRES_ACTION``.
    redirect_url: str | None = None
    #: For the log and for operators; never shown to merchants.
    detail: str = ""

    @property
    def is_final(self) -> bool:
        """Whether this settles the attempt."""
        return self.outcome in FINAL


class ErrorDetails(TypedDict):
    """A failure as merchants see it, in a vocabulary that no processor can change."""

    code: str
    decline_code: str
    advice: str
    retryable: bool


_ERROR_CODES = {
    Outcome.DECLINED: "card_declined",
    Outcome.NOT_DONE: "processor_error",
    Outcome.EXPIRED: "authorization_expired",
}
_DEFAULT_DECLINE_CODES = {
    Outcome.DECLINED: DeclineCode.GENERIC_DECLINE,
    Outcome.NOT_DONE: DeclineCode.PROCESSING_ERROR,
    Outcome.EXPIRED: DeclineCode.AUTHORIZATION_EXPIRED,
}


def error_details(result: Result) -> ErrorDetails:
    """Return why a ``result`` other than an approval, which must be final, failed."""
    code = result.decline_code or _DEFAULT_DECLINE_CODES[result.outcome]
    advice = result.advice or advice_for(code)
    return {
        "code": _ERROR_CODES[result.outcome],
        "decline_code": code.value,
        "advice": advice.value,
        "retryable": advice is Advice.TRY_AGAIN_LATER,
    }
