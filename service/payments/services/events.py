"""Recording events: one document per event, in the transaction of the change."""

from dataclasses import replace
from datetime import datetime, timedelta

from payments.domain.events import EventType
from payments.domain.ids import Prefix, new_id
from payments.domain.operations import Operation
from payments.domain.payments import Payment
from payments.repositories import events
from payments.repositories.connection import Connection
from payments.services.presentation import Json, dumps, subject_json, timestamp


def record(
    tx: Connection, payment: Payment, operation: Operation | None, types: tuple[EventType, ...], *, now: datetime
) -> Payment:
    """Store an event about a payment or refund for each of ``types``; see :func:`record_subject`."""
    return record_subject(tx, payment, subject_json(payment, operation), types, now=now)


def record_subject(
    tx: Connection, payment: Payment, subject: Json, types: tuple[EventType, ...], *, now: datetime
) -> Payment:
    """Store an event about ``subject`` for each of ``types``, and return the payment with its advanced event sequence.

    The caller has locked the payment, so that sequence numbers are unique and have no gaps.
    """
    for index, event_type in enumerate(types):
        payment = replace(payment, event_sequence=payment.event_sequence + 1)
        event_id = new_id(Prefix.EVENT, now + timedelta(microseconds=index))
        body = {
            "id": event_id,
            "object": "event",
            "type": event_type.value,
            "api_version": payment.api_version,
            "created": timestamp(now),
            "livemode": payment.livemode,
            "payment": payment.id,
            "sequence": payment.event_sequence,
            "data": {"object": subject},
        }
        event = events.NewEvent(
            id=event_id,
            type=event_type.value,
            payment_id=payment.id,
            sequence=payment.event_sequence,
            api_version=payment.api_version,
            body=dumps(body),
        )
        events.insert(tx, payment, event)
    return payment
