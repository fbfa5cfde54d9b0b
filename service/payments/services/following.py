"""Following a processor: what it did on its own is booked, by comparing everything it holds about a payment.

The payment is read before the processor is asked, and must not have changed when its row is locked afterwards: the
snapshot is then newer than all that is booked, whatever the order in which events, requests and workers arrive. A
difference that an open attempt of ours could explain waits for that attempt's own look-up.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from payments.domain.operations import PROCESSOR_DEADLINE
from payments.domain.payments import Payment
from payments.domain.snapshots import Contradiction, PaymentSnapshot
from payments.processors.inbound import SendsWebhooks
from payments.repositories import attempts, inbox, payments
from payments.repositories.inbox import EventState, KnownPayment
from payments.services.comparison import Comparison
from payments.services.context import Context

_log = logging.getLogger("payments.following")
#: Looks at a payment that changes during each of them, before others get their turn.
_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a look at a processor's objects has established."""

    #: ``OPEN`` to look again.
    state: EventState
    reason: str | None = None
    #: Events about the same payment that were unmapped before the look.
    unmapped_before: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A payment of ours before the processor was asked about it."""

    found: KnownPayment
    payment: Payment
    unmapped: Sequence[str]


def follow(context: Context, processor: SendsWebhooks, *, livemode: bool, references: Sequence[str]) -> Verdict:
    """Ask ``processor`` for the payment that its objects belong to, and book what differs.

    Raises:
        RetrievalFailed: The processor did not show it.
    """
    for _ in range(_TRIES):
        known = _read(context, processor, livemode=livemode, references=references)
        asked = [known.found.processor_reference] if known and known.found.processor_reference else references
        try:
            snapshot = processor.retrieve(asked, timeout=PROCESSOR_DEADLINE.total_seconds())
        except Contradiction as finding:
            return Verdict(state=EventState.UNMAPPED, reason=str(finding))
        if snapshot is None:
            return _missing(known, references)
        if snapshot.livemode != livemode:
            return Verdict(state=EventState.NOT_OURS, reason="it belongs to the other mode")
        verdict = _identify(context, processor, snapshot) if known is None else _book(context, known, snapshot)
        if verdict is not None:
            return verdict
        references = [snapshot.reference, *references]  # it is ours, by an id that the events did not name
    return Verdict(state=EventState.OPEN, reason="the payment keeps changing")


def _read(context: Context, processor: SendsWebhooks, *, livemode: bool, references: Sequence[str]) -> _Known | None:
    with context.database.transaction() as tx:
        found = inbox.find_by_reference(tx, processor=processor.name, livemode=livemode, references=references)
        payment = None if found is None else payments.get_payment(tx, found, found.payment_id)
        if found is None or payment is None:
            return None
        names = [*references, *([found.processor_reference] if found.processor_reference else [])]
        unmapped = inbox.unmapped_about(tx, processor=processor.name, livemode=livemode, references=names)
    return _Known(found=found, payment=payment, unmapped=unmapped)


def _missing(known: _Known | None, references: Sequence[str]) -> Verdict:
    if known is None:
        return Verdict(state=EventState.NOT_OURS, reason="the processor has no such payment")
    return Verdict(state=EventState.UNMAPPED, reason=f"the processor no longer has {', '.join(references)}")


def _identify(context: Context, processor: SendsWebhooks, snapshot: PaymentSnapshot) -> Verdict | None:
    """Say whose payment it is, whose id none of our attempts has stored; ``None`` if one has meanwhile."""
    if snapshot.payment_id is None or snapshot.merchant_id is None:
        return Verdict(state=EventState.NOT_OURS, reason="it was not made by us")
    with context.database.transaction() as tx:
        named = inbox.find_by_payment(
            tx,
            processor=processor.name,
            livemode=snapshot.livemode,
            merchant_id=snapshot.merchant_id,
            payment_id=snapshot.payment_id,
        )
        if named is None and not inbox.merchant_exists(tx, snapshot.merchant_id):
            return Verdict(state=EventState.NOT_OURS, reason="it was made by another installation")
    if named is not None and named.processor_reference == snapshot.reference:
        return None
    if named is not None and named.open:
        return Verdict(state=EventState.OPEN, reason="the attempt that made it has yet to store its id")
    if named is not None and snapshot.moved_nothing:
        return Verdict(state=EventState.FOLLOWED, reason="it was made in vain and moved nothing")
    held = "does not exist" if named is None else f"holds {named.processor_reference or 'nothing'}"
    reason = f"{snapshot.reference} names the payment {snapshot.payment_id}, which {held}"
    return Verdict(state=EventState.UNMAPPED, reason=reason)


def _book(context: Context, known: _Known, snapshot: PaymentSnapshot) -> Verdict | None:
    """Book how the payment differs from ``snapshot``; ``None`` if it was changed before it was locked."""
    with context.database.tenant_transaction(known.found) as tx:
        payment = payments.get_payment(tx, known.found, known.found.payment_id, lock=True)
        if payment is None or payment != known.payment:
            return None
        comparison = Comparison(tx, context, payment, snapshot)
        comparison.run()
        if comparison.waiting:
            attempts.look_up_soon(
                tx, processor=payment.processor, livemode=payment.livemode, reference=snapshot.reference
            )
        tx.commit()
    if comparison.changes:
        extra = {"payment_id": payment.id, "merchant_id": payment.merchant_id, "changes": comparison.changes}
        _log.info("changed elsewhere", extra=extra)
    if comparison.contradictions:
        return Verdict(state=EventState.UNMAPPED, reason="; ".join(comparison.contradictions))
    if comparison.waiting:
        return Verdict(state=EventState.OPEN, reason="; ".join(comparison.waiting))
    return Verdict(state=EventState.FOLLOWED, unmapped_before=known.unmapped)
