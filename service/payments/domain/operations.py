"""Operations on a payment (captures, voids, refunds) and attempts: what was, or may have been, sent to a processor."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

#: Nobody sends an attempt to a processor, or awaits its answer, longer than this.
PROCESSOR_DEADLINE = timedelta(seconds=10)
#: How long a request owns its Idempotency-Key. Longer than the processor's deadline, so that whoever finds the lease
#: over knows that nothing is being sent any more.
KEY_LEASE = timedelta(seconds=60)
#: How long a final answer is kept for replays.
KEY_RETENTION = timedelta(hours=72)
#: Waits before the worker looks again at something unknown: the first, and the longest.
FIRST_LOOKUP_DELAY = timedelta(seconds=1)
MAX_LOOKUP_DELAY = timedelta(minutes=15)
#: After this long an attempt that is still open is a matter for a person (`payments stuck`).
STUCK_AFTER = timedelta(minutes=30)


class TenantScope(Protocol):
    """Something that belongs to one merchant in one mode."""

    @property
    def merchant_id(self) -> str:
        """The merchant."""

    @property
    def livemode(self) -> bool:
        """Real money, or test mode."""


class CallKind(StrEnum):
    """What an attempt asks of a processor."""

    PAYMENT = "payment"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


class OperationStatus(StrEnum):
    """How far an operation is; ``pending`` includes "outcome unknown"."""

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
    #: Minor units. Of a void: what it releases.
    amount: int
    #: Of a capture: whether the rest of the authorization is released.
    final: bool
    reason: str | None
    #: Why it failed: code, decline_code, advice, retryable, message.
    error: dict[str, Any] | None
    processor_reference: str | None
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One thing asked of a processor; its id is the processor's idempotency key for life."""

    id: str
    merchant_id: str
    livemode: bool
    payment_id: str
    operation_id: str | None
    kind: CallKind
    processor: str
    processor_reference: str | None
    #: Who holds the attempt may record its outcome; taking it over adds one and fences the former holder.
    generation: int
    deadline_at: datetime
    next_look_at: datetime
    looks: int
    idempotency_key_hash: bytes | None
    #: The latest outcome recorded, ``None`` before the first.
    outcome: str | None
    created_at: datetime


def lookup_delay(looks: int) -> timedelta:
    """How long to wait before looking again after ``looks`` looks that established nothing."""
    return min(FIRST_LOOKUP_DELAY * (1 << min(looks, 20)), MAX_LOOKUP_DELAY)
