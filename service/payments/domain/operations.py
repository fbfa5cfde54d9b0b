"""Operations on a payment (captures, voids, refunds), and attempts: calls that were, or may have been, sent."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from payments.domain.outcomes import ErrorDetails

#: No attempt is sent to a processor, and no response awaited, for longer than this.
PROCESSOR_DEADLINE = timedelta(seconds=10)
#: How long a request holds its Idempotency-Key. Longer than the processor's deadline, so that whoever finds the lease
#: expired knows that nothing is being sent any more.
KEY_LEASE = timedelta(seconds=60)
#: How long a final response is kept for replays.
KEY_RETENTION = timedelta(hours=72)
#: The first and the longest delay between two look-ups of an unknown outcome, and by how much one exceeds the one
#: before, at most: what an outage of an hour has left open is looked up within some three minutes of its end.
FIRST_LOOKUP_DELAY = timedelta(seconds=1)
MAX_LOOKUP_DELAY = timedelta(minutes=15)
LOOKUP_DELAY_STEP = timedelta(seconds=5)
#: An attempt that is open for longer than this needs a person (`payments stuck`).
STUCK_AFTER = timedelta(minutes=30)


class CallKind(StrEnum):
    """What an attempt asks a processor to do."""

    PAYMENT = "payment"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


class OperationStatus(StrEnum):
    """State of an operation; ``pending`` includes "outcome unknown"."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A capture, void or refund."""

    id: str
    merchant_id: str
    livemode: bool
    payment_id: str
    kind: CallKind
    status: OperationStatus
    #: Minor units. For a void, the amount it releases.
    amount: int
    #: For a capture, whether the rest of the authorization is released.
    final: bool
    reason: str | None
    #: Why it failed.
    error: ErrorDetails | None
    processor_reference: str | None
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One call to a processor. Its id is the processor's idempotency key for as long as the attempt exists."""

    id: str
    merchant_id: str
    livemode: bool
    payment_id: str
    operation_id: str | None
    kind: CallKind
    processor: str
    processor_reference: str | None
    #: Fencing token: only the holder of the current generation may record an outcome. Claiming increments it.
    generation: int
    deadline_at: datetime
    next_lookup_at: datetime
    #: Look-ups so far that established nothing.
    lookups: int
    idempotency_key_hash: bytes | None
    #: The latest outcome recorded, ``None`` before the first.
    outcome: str | None
    created_at: datetime


def lookup_delay(lookups: int) -> timedelta:
    """Return how long to wait after ``lookups`` look-ups that established nothing: it doubles, then grows by a step."""
    steps = min(lookups + 1, MAX_LOOKUP_DELAY // LOOKUP_DELAY_STEP)
    return min(FIRST_LOOKUP_DELAY * (1 << min(lookups, 20)), LOOKUP_DELAY_STEP * steps)
