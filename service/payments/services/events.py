"""Events: one document per change, in the transaction of the change."""

from dataclasses import replace
from datetime import datetime, timedelta

from payments.domain.events import EventType
from payments.domain.ids import Prefix, new_id
from payments.domain.operations import CallKind, Operation
from payments.domain.payments import Payment
from payments.repositories import events
from payments.repositories.database import Connection
from payments.services.presentation import dumps, payment_json, refund_json, timestamp


def record(
    tx: Connection, payment: Payment, operation: Operation | None, types: tuple[EventType, ...], *, now: datetime
) -> Payment:
    """Store an event for each of ``types``; answers the payment with its sequence moved on.

    The payment's row is locked by the caller, so that numbers are given once and without gaps.
    """
    for place, event_type in enumerate(types):
        payment = replace(payment, event_sequence=payment.event_sequence + 1)
        event_id = new_id(Prefix.EVENT, now + timedelta(microseconds=place))
        is_refund = operation is not None and operation.kind is CallKind.REFUND
        shown = refund_json(operation, payment.currency) if operation and is_refund else payment_json(payment)
        body = {
            "id": event_id,
            "object": "event",
            "type": event_type.value,
            "api_version": payment.api_version,
            "created": timestamp(now),
            "livemode": payment.livemode,
            "payment": payment.id,
            "sequence": payment.event_sequence,
            "data": {"object": shown},
        }
        events.insert(
            tx,
            payment,
            events.NewEvent(
                id=event_id,
                type=event_type.value,
                payment_id=payment.id,
                sequence=payment.event_sequence,
                api_version=payment.api_version,
                body=dumps(body),
            ),
        )
    return payment
