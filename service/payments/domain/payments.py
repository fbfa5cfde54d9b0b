"""A payment: its states, its amounts, and the operations that each state allows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypedDict

from payments.domain.operations import CallKind
from payments.domain.outcomes import ErrorDetails


class PaymentStatus(StrEnum):
    """States; ``processing`` includes "outcome unknown", which only evidence ends."""

    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    REQUIRES_CAPTURE = "requires_capture"
    PARTIALLY_CAPTURED = "partially_captured"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class CaptureMethod(StrEnum):
    """Whether a payment is captured together with its authorization."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


_S = PaymentStatus
#: The state machine: from each state, the states it can change to.
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


class OperationNotAllowed(Exception):  # noqa: N818 - a refusal, not a fault
    """The payment's state does not allow an operation."""

    def __init__(self, detail: str, *, state: PaymentStatus, allowed: list[str]) -> None:
        super().__init__(detail)
        self.detail = detail
        self.state = state
        self.allowed = allowed


class OperationPending(Exception):  # noqa: N818 - a refusal, not a fault
    """Another capture or void of the payment is in progress."""


class AmountTooLarge(Exception):  # noqa: N818 - a refusal, not a fault
    """The amount exceeds what is left: ``limit``, in minor units."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"At most {limit} is left.")
        self.limit = limit


class _RedirectUrl(TypedDict):
    url: str


class NextAction(TypedDict):
    """What the customer has to do, as merchants see it."""

    type: str
    redirect_to_url: _RedirectUrl


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
    last_error: ErrorDetails | None
    next_action: NextAction | None
    processor: str
    processor_reference: str | None
    expires_at: datetime | None
    event_sequence: int
    api_version: str
    created_at: datetime

    @property
    def amount_capturable(self) -> int:
        """The amount that can still be captured."""
        return self.amount_authorized - self.amount_captured if self.status in _CAPTURABLE else 0

    @property
    def amount_refundable(self) -> int:
        """The amount that can still be refunded: pending refunds have reserved theirs."""
        return self.amount_captured - self.amount_refunded - self.amount_refund_pending

    def allowed(self) -> list[str]:
        """Return the operations that the state allows, whatever is in progress."""
        names = []
        if self.amount_capturable > 0:
            names.append(CallKind.CAPTURE.value)
        if self.status in _VOIDABLE:
            names.append(CallKind.VOID.value)
        if self.amount_refundable > 0:
            names.append(CallKind.REFUND.value)
        return names

    def check_capture(self, amount: int | None) -> int:
        """Return what a capture of ``amount`` (by default, all that is left) captures.

        Raises:
            OperationNotAllowed, OperationPending, AmountTooLarge: It cannot start.
        """
        self._require_allowed(CallKind.CAPTURE)
        self._require_idle()
        return _within(amount, self.amount_capturable)

    def check_void(self) -> int:
        """Return what a void releases.

        Raises:
            OperationNotAllowed, OperationPending: It cannot start.
        """
        self._require_allowed(CallKind.VOID)
        self._require_idle()
        return self.amount_capturable

    def check_refund(self, amount: int | None) -> int:
        """Return what a refund of ``amount`` (by default, all that is left) refunds.

        Raises:
            OperationNotAllowed, AmountTooLarge: It cannot start.
        """
        self._require_allowed(CallKind.REFUND)
        return _within(amount, self.amount_refundable)

    def with_pending(self, kind: CallKind) -> "Payment":
        """Return the payment with a capture or void in progress: why an earlier one failed is no longer its state."""
        return replace(self, pending_operation=kind.value, last_error=None)

    def _require_allowed(self, kind: CallKind) -> None:
        allowed = self.allowed()
        if kind not in allowed:
            detail = f"A {kind} is not allowed while the payment is {self.status}. {self._hint(allowed)}"
            raise OperationNotAllowed(detail, state=self.status, allowed=allowed)

    def _hint(self, allowed: list[str]) -> str:
        if allowed:
            return f"Allowed: {', '.join(allowed)}."
        if self.status is _S.PROCESSING or self.amount_refund_pending:
            return "Nothing is allowed while an operation is in progress: wait for its event, or poll the payment."
        return "This state is final."

    def _require_idle(self) -> None:
        if self.pending_operation is not None:
            raise OperationPending(
                f"A {self.pending_operation} of this payment is in progress. Wait for its event, or poll the payment."
            )


def _within(amount: int | None, limit: int) -> int:
    if amount is not None and amount > limit:
        raise AmountTooLarge(limit)
    return limit if amount is None else amount
