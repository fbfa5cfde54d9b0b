"""The interface of a processor. Everything above it is the same for all processors.

A call carries an attempt id, which is the processor's idempotency key: the same attempt sent twice moves money once.
A call never raises for anything a processor may do (time out, refuse, return nonsense): it returns a :class:`Result`,
with the outcome ``UNKNOWN`` whenever the truth is not established, and ``MISCONFIGURED`` if the fault is ours. Nothing
is ever guessed.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from payments.domain.operations import CallKind
from payments.domain.outcomes import Result

__all__ = ["Call", "CallKind", "Capabilities", "Processor"]


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a processor can do beyond the minimum."""

    #: A capture may leave the rest of the authorization open (``final: false``).
    multicapture: bool
    #: How long the processor honours an idempotency key; ``None`` if forever.
    key_validity: timedelta | None
    #: How long an authorization can be captured.
    authorization_validity: timedelta


@dataclass(frozen=True, kw_only=True)
class Call:
    """One attempt, as a processor sees it."""

    kind: CallKind
    attempt_id: str
    payment_id: str
    merchant_id: str
    livemode: bool
    #: The amount that this call moves, in minor units of ``currency``.
    amount: int
    currency: str
    payment_method: str
    #: Seconds left: nothing is sent and no response awaited after this.
    timeout: float
    #: For a payment, capture at once. For a capture, release the rest of the authorization.
    final: bool = True
    #: The merchant's own reference of the payment.
    merchant_reference: str | None = None
    #: The processor's id of the payment; for a prepared authorization, of what ``prepare`` created.
    charge_reference: str | None = None
    #: The processor's id of what this very attempt created, if known.
    reference: str | None = None
    #: Captured before this call, by our ledger: a capture is recognized by the change of the processor's figure.
    amount_captured: int = 0
    #: The page to which the customer's browser returns after 3-D Secure.
    return_url: str | None = None
    description: str | None = None
    reason: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    #: When the attempt was created: bounds how long its key is valid.
    attempted_at: datetime | None = None


class Processor(Protocol):
    """A party that moves money."""

    @property
    def name(self) -> str:
        """Stable name, as stored and as used in paths."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do beyond the minimum."""

    @property
    def payment_method_pattern(self) -> str:
        """A regular expression of what it takes as a payment method, as the OpenAPI document shows it."""

    def payment_method_error(self, payment_method: str) -> str | None:
        """Return why ``payment_method`` is not valid here, or ``None`` if it is. Makes no call."""

    def currency_error(self, currency: str) -> str | None:
        """Return why it cannot take ``currency``, or ``None`` if it can. Makes no call."""

    def amount_error(self, kind: CallKind, amount: int, currency: str) -> str | None:
        """Return why it cannot take ``amount`` (minor units), or ``None`` if it can. Makes no call."""

    def is_available(self) -> bool:
        """Return whether calls are let through: ``False`` while the circuit breaker is open, and nothing is started."""

    def prepare(self, call: Call) -> Result | None:
        """Create the object that ``authorize`` will confirm, whose id is committed before. Moves no money, repeatable.

        Returns:
            ``PREPARED`` with the id; ``None`` from a processor that authorizes in one step.
        """

    def authorize(self, call: Call) -> Result:
        """Authorize a payment, and capture it at once if ``call.final``."""

    def capture(self, call: Call) -> Result:
        """Capture ``call.amount``; release the rest if ``call.final``."""

    def void(self, call: Call) -> Result:
        """Release what is authorized but not captured; ``APPROVED`` also if it was released or has expired already."""

    def refund(self, call: Call) -> Result:
        """Refund ``call.amount``."""

    def look_up(self, call: Call) -> Result:
        """Return the outcome of an attempt of any kind; changes nothing. ``NOT_FOUND`` proves nothing."""

    def abandon(self, call: Call) -> Result:
        """Make sure that an unconfirmed payment never will be confirmed: ``NOT_DONE`` once that is certain."""
