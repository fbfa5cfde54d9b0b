"""What a processor holds about a payment at one moment, and how it differs from our books.

A snapshot was retrieved after everything in the books was booked: a difference is something that was done elsewhere, in
the processor's dashboard or by a bank, or that an operation of ours has done and not recorded yet.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from payments.domain.operations import Operation, OperationStatus
from payments.domain.outcomes import Outcome, Result
from payments.domain.payments import Payment, PaymentStatus


class Contradiction(Exception):  # noqa: N818 - a finding, not a fault
    """What the processor holds cannot be booked; the message says why. A person has to look."""


class Progress(Enum):
    """How far the processor has come with a payment."""

    #: Nothing is authorized (yet).
    OPEN = auto()
    AUTHORIZED = auto()
    SUCCEEDED = auto()
    CANCELED = auto()


@dataclass(frozen=True, kw_only=True)
class RefundSnapshot:
    """A refund as the processor holds it. ``amount`` is in minor units of ``currency``."""

    reference: str
    amount: int
    currency: str
    #: Its state, in the terms of a look-up.
    result: Result
    #: The attempt of ours that made it; ``None`` for a refund made elsewhere.
    attempt_id: str | None


@dataclass(frozen=True, kw_only=True)
class DisputeSnapshot:
    """A dispute as the processor holds it. Amounts are in minor units of ``currency``, fees of ``fee_currency``."""

    reference: str
    status: str
    amount: int
    currency: str
    reason: str | None
    respond_by: datetime | None
    amount_withdrawn: int
    #: ``None`` if it is a part, and was returned in another currency.
    amount_returned: int | None
    fee: int
    fee_returned: int
    fee_currency: str | None


@dataclass(frozen=True, kw_only=True)
class PaymentSnapshot:
    """A payment as the processor holds it. ``amount_received`` is in minor units of ``currency``."""

    reference: str
    livemode: bool
    currency: str
    progress: Progress
    amount_received: int
    #: The object that holds the captured money.
    charge_reference: str | None
    #: Our ids, which the processor keeps with the payment; ``None`` if it is not ours.
    payment_id: str | None
    merchant_id: str | None
    #: Oldest first.
    refunds: tuple[RefundSnapshot, ...] = ()
    disputes: tuple[DisputeSnapshot, ...] = ()

    @property
    def moved_nothing(self) -> bool:
        """Whether no money is held or was ever moved."""
        nothing_listed = not self.refunds and not self.disputes
        return self.progress in (Progress.OPEN, Progress.CANCELED) and self.amount_received == 0 and nothing_listed


@dataclass(frozen=True, kw_only=True)
class Captured:
    """A capture made elsewhere."""

    #: Minor units.
    amount: int
    #: Whether nothing more can be captured.
    final: bool


@dataclass(frozen=True, kw_only=True)
class Released:
    """What was authorized and not captured has been released, or has expired."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The attempt that creates the payment has an outcome that it has yet to look up."""


def payment_difference(payment: Payment, snapshot: PaymentSnapshot) -> Captured | Released | Settled | None:
    """Return how the state of ``payment`` differs from the processor's, ``None`` if it does not.

    Raises:
        Contradiction: Nothing that can be done to a payment explains the difference.
    """
    if snapshot.currency != payment.currency:
        raise Contradiction(f"{snapshot.reference} is in {snapshot.currency}, the payment in {payment.currency}")
    if payment.status in (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_ACTION):
        return None if snapshot.progress is Progress.OPEN else Settled()
    captured = snapshot.amount_received - payment.amount_captured
    if captured < 0 or captured > payment.amount_capturable:
        raise Contradiction(
            f"{snapshot.reference} has received {snapshot.amount_received}; of the payment, which is "
            f"{payment.status}, {payment.amount_captured} is captured and {payment.amount_capturable} capturable"
        )
    if captured:
        return Captured(amount=captured, final=snapshot.progress is not Progress.AUTHORIZED)
    authorized = payment.amount_capturable > 0
    if authorized and snapshot.progress in (Progress.CANCELED, Progress.SUCCEEDED):
        return Released()
    if snapshot.progress is Progress.AUTHORIZED and payment.status in (PaymentStatus.FAILED, PaymentStatus.CANCELED):
        raise Contradiction(f"{snapshot.reference} is authorized, the payment is {payment.status}")
    return None


def refund_differs(refund: Operation, found: RefundSnapshot) -> bool:
    """Return whether the processor has come further with ``refund`` than our books.

    Raises:
        Contradiction: It is another amount, or has gone back to an earlier state.
    """
    if found.amount != refund.amount:
        raise Contradiction(f"refund {found.reference} is of {found.amount}, in our books of {refund.amount}")
    ended = found.result.is_final and found.result.outcome is not Outcome.APPROVED
    if refund.status is OperationStatus.PENDING:
        if found.result.outcome is Outcome.UNKNOWN:
            raise Contradiction(f"refund {found.reference}: {found.result.detail}")
        return found.result.is_final
    if refund.status is OperationStatus.SUCCEEDED and ended:
        return True
    expected = found.result.outcome is Outcome.APPROVED if refund.status is OperationStatus.SUCCEEDED else ended
    if not expected:
        raise Contradiction(f"refund {found.reference} is {found.result.outcome}, in our books {refund.status}")
    return False
