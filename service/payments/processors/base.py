"""What a processor must be able to do. Everything above this line is the same for all processors.

A call carries an attempt id, which is the processor's idempotency key: the same attempt sent twice moves money once.
A call never raises for what a processor may do (time out, refuse, answer nonsense): it answers an :class:`Outcome`, and
``UNKNOWN`` whenever the truth is not established. Nothing is ever guessed.
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
    #: :meth:`Processor.prepare` makes an object that moves no money, whose id is committed before ``authorize``.
    prepares: bool
    #: How long the same attempt may be sent again under the same key; ``None``: for ever.
    key_validity: timedelta | None
    #: How long an authorization can be captured.
    authorization_validity: timedelta


@dataclass(frozen=True, kw_only=True)
class Call:
    """One attempt, as the processor sees it.

    ``amount`` is what this call moves, in minor units of ``currency``. ``charge_reference`` is the processor's id of
    the payment (of what ``prepare`` made, for an authorization that was prepared); ``reference`` is the processor's id
    of what this very attempt made, if it is known already.
    """

    kind: CallKind
    attempt_id: str
    payment_id: str
    merchant_id: str
    livemode: bool
    amount: int
    currency: str
    payment_method: str
    #: Seconds left: no byte is sent and no answer awaited after this.
    timeout: float
    #: Capture at once (payment), or close the authorization (capture).
    final: bool = True
    charge_reference: str | None = None
    reference: str | None = None
    #: Captured before this call, by our books: a capture is recognised by the change of the processor's figure.
    amount_captured: int = 0
    #: Page that the customer's browser comes back to after 3-D Secure.
    return_url: str | None = None
    description: str | None = None
    reason: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    #: When the attempt was made: bounds how long its key is valid.
    attempted_at: datetime | None = None


class Processor(Protocol):
    """Somebody who moves money."""

    @property
    def name(self) -> str:
        """Stable name, as stored and used in paths."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def refuses_method(self, payment_method: str) -> str | None:
        """Why ``payment_method`` cannot be this processor's, or ``None`` if it can. Makes no call."""

    def is_available(self) -> bool:
        """Whether calls are let through now: ``False`` while the circuit breaker is open, and nothing is begun."""

    def prepare(self, call: Call) -> Result:
        """Make the object that ``authorize`` will confirm; moves no money, repeatable. ``PREPARED``, a reference."""

    def authorize(self, call: Call) -> Result:
        """Authorize a payment, and capture it at once if ``call.final``."""

    def capture(self, call: Call) -> Result:
        """Capture ``call.amount``; release the rest if ``call.final``."""

    def void(self, call: Call) -> Result:
        """Release what is authorized and not captured. ``APPROVED`` also when it is released or expired already."""

    def refund(self, call: Call) -> Result:
        """Give ``call.amount`` back."""

    def look_up(self, call: Call) -> Result:
        """What became of an attempt, whatever its kind; asks only. ``NOT_FOUND`` is no evidence of anything."""

    def abandon(self, call: Call) -> Result:
        """Make sure that a payment that is known and not confirmed never will be: ``NOT_DONE`` once that is certain."""
