"""A payment: its states, its amounts, and what may be done in each state. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from payments.domain.operations import CallKind


class PaymentStatus(StrEnum):
    """States; ``processing`` includes "outcome unknown", and only evidence leaves it."""

    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    REQUIRES_CAPTURE = "requires_capture"
    PARTIALLY_CAPTURED = "partially_captured"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class CaptureMethod(StrEnum):
    """When the money is taken."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


_S = PaymentStatus
#: Every change of state there is.
TRANSITIONS: Mapping[PaymentStatus, frozenset[PaymentStatus]] = {
    _S.PROCESSING: frozenset({_S.REQUIRES_ACTION, _S.REQUIRES_CAPTURE, _S.SUCCEEDED, _S.FAILED, _S.CANCELED}),
    _S.REQUIRES_ACTION: frozenset({_S.PROCESSING, _S.CANCELED, _S.FAILED}),
    _S.REQUIRES_CAPTURE: frozenset({_S.PARTIALLY_CAPTURED, _S.SUCCEEDED, _S.CANCELED}),
    _S.PARTIALLY_CAPTURED: frozenset({_S.SUCCEEDED}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELED: frozenset(),
}
_CAPTURABLE = frozenset({_S.REQUIRES_CAPTURE, _S.PARTIALLY_CAPTURED})
_VOIDABLE = _CAPTURABLE | {_S.REQUIRES_ACTION}


class NotAllowed(Exception):  # noqa: N818  # a refusal, told to the client as 409
    """The payment's state does not allow an operation."""

    def __init__(self, detail: str, *, state: PaymentStatus, allowed: list[str]) -> None:
        super().__init__(detail)
        self.detail = detail
        self.state = state
        self.allowed = allowed


class Busy(Exception):  # noqa: N818  # a refusal, told to the client as 409
    """Another capture or void of the payment is in flight."""


class AmountTooLarge(Exception):  # noqa: N818  # a refusal, told to the client as 422
    """More than is left; ``limit`` is what is left, in minor units."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"At most {limit} is left.")
        self.limit = limit


@dataclass(frozen=True, kw_only=True)
class Payment:
    """A payment. Amounts are whole minor units of ``currency``."""

    id: str
    merchant_id: str
    livemode: bool
    status: PaymentStatus
    amount: int
    currency: str
    capture_method: CaptureMethod
    payment_method: str
    reference: str | None
    description: str | None
    metadata: dict[str, str]
    return_url: str | None
    fee_basis_points: int
    amount_authorized: int
    amount_captured: int
    amount_refunded: int
    amount_refund_pending: int
    pending_operation: str | None
    last_error: dict[str, Any] | None
    next_action: dict[str, Any] | None
    processor: str
    processor_reference: str | None
    expires_at: datetime | None
    event_sequence: int
    api_version: str
    created_at: datetime

    @property
    def amount_capturable(self) -> int:
        """What a capture can still take."""
        return self.amount_authorized - self.amount_captured if self.status in _CAPTURABLE else 0

    @property
    def amount_refundable(self) -> int:
        """What a refund can still give back: refunds in flight have reserved theirs."""
        return self.amount_captured - self.amount_refunded - self.amount_refund_pending

    def allowed(self) -> list[str]:
        """The operations that the state allows now, whatever is in flight."""
        names = []
        if self.amount_capturable > 0:
            names.append(CallKind.CAPTURE.value)
        if self.status in _VOIDABLE:
            names.append(CallKind.VOID.value)
        if self.amount_refundable > 0:
            names.append(CallKind.REFUND.value)
        return names

    def check_capture(self, amount: int | None) -> int:
        """What a capture of ``amount`` (``None``: all that is left) takes.

        Raises:
            NotAllowed, Busy, AmountTooLarge: it cannot be begun.
        """
        self._check(CallKind.CAPTURE)
        self._check_free()
        return _within(amount, self.amount_capturable)

    def check_void(self) -> int:
        """What a void releases.

        Raises:
            NotAllowed, Busy: it cannot be begun.
        """
        self._check(CallKind.VOID)
        self._check_free()
        return self.amount_capturable

    def check_refund(self, amount: int | None) -> int:
        """What a refund of ``amount`` (``None``: all that is left) gives back.

        Raises:
            NotAllowed, AmountTooLarge: it cannot be begun.
        """
        self._check(CallKind.REFUND)
        return _within(amount, self.amount_refundable)

    def _check(self, kind: CallKind) -> None:
        allowed = self.allowed()
        if kind not in allowed:
            detail = f"A payment that is {self.status} does not allow a {kind}. {self._what_now(allowed)}"
            raise NotAllowed(detail, state=self.status, allowed=allowed)

    def _what_now(self, allowed: list[str]) -> str:
        if allowed:
            return f"Allowed now: {', '.join(allowed)}."
        if self.status is _S.PROCESSING or self.amount_refund_pending:
            return "Nothing is allowed until what is in flight has ended: wait for its event, or read the payment."
        return "Nothing is allowed any more."

    def _check_free(self) -> None:
        if self.pending_operation is not None:
            raise Busy(f"A {self.pending_operation} of this payment is in progress. Read the payment to see its end.")


def _within(amount: int | None, limit: int) -> int:
    if amount is not None and amount > limit:
        raise AmountTooLarge(limit)
    return limit if amount is None else amount
