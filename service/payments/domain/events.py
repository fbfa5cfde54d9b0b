"""Events: what happened to a payment, a refund or a dispute, as merchants are notified of it."""

from collections.abc import Mapping, Sequence
from enum import StrEnum


class EventType(StrEnum):
    """The types of events."""

    PAYMENT_PROCESSING = "payment.processing"
    PAYMENT_REQUIRES_ACTION = "payment.requires_action"
    PAYMENT_AUTHORIZED = "payment.authorized"
    PAYMENT_PARTIALLY_CAPTURED = "payment.partially_captured"
    PAYMENT_SUCCEEDED = "payment.succeeded"
    PAYMENT_FAILED = "payment.failed"
    PAYMENT_CANCELED = "payment.canceled"
    PAYMENT_CAPTURE_FAILED = "payment.capture_failed"
    PAYMENT_VOID_FAILED = "payment.void_failed"
    REFUND_PENDING = "refund.pending"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    DISPUTE_CREATED = "dispute.created"
    DISPUTE_UPDATED = "dispute.updated"
    DISPUTE_CLOSED = "dispute.closed"


def _by_filter() -> dict[str, list[EventType]]:
    found = {event_type.value: [event_type] for event_type in EventType}
    for event_type in EventType:
        found.setdefault(event_type.value.partition(".")[0] + ".*", []).append(event_type)
    return found


#: What a list of events can be narrowed down to: one type, or all of one object such as ``refund.*``.
TYPES_BY_FILTER: Mapping[str, Sequence[EventType]] = _by_filter()
