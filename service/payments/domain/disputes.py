"""Disputes: a customer's bank questions a payment, takes the money, and decides who keeps it.

Their states are the processor's. They are followed, whatever was missed in between: money is posted as it moves, once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from payments.domain.events import EventType
from payments.domain.ledger import Posting, PostingKind, posting
from payments.domain.snapshots import Contradiction, DisputeSnapshot


class DisputeStatus(StrEnum):
    """States. A warning is a question that has moved no money; it may become a dispute."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    #: Settled with the bank, by paying, before it became a dispute.
    PREVENTED = "prevented"


_S = DisputeStatus
CLOSED = frozenset({_S.WARNING_CLOSED, _S.WON, _S.LOST, _S.PREVENTED})
_DECIDED = frozenset({_S.WON, _S.LOST, _S.PREVENTED})
_DISPUTED = frozenset({_S.NEEDS_RESPONSE, _S.UNDER_REVIEW})
#: The state machine: from each state, the states that may be found next.
TRANSITIONS: Mapping[DisputeStatus, frozenset[DisputeStatus]] = {
    _S.WARNING_NEEDS_RESPONSE: frozenset({_S.WARNING_UNDER_REVIEW, _S.WARNING_CLOSED}) | _DISPUTED | _DECIDED,
    _S.WARNING_UNDER_REVIEW: frozenset({_S.WARNING_NEEDS_RESPONSE, _S.WARNING_CLOSED}) | _DISPUTED | _DECIDED,
    _S.WARNING_CLOSED: _DISPUTED | _DECIDED,
    _S.NEEDS_RESPONSE: frozenset({_S.UNDER_REVIEW}) | _DECIDED,
    _S.UNDER_REVIEW: frozenset({_S.NEEDS_RESPONSE}) | _DECIDED,
    _S.WON: frozenset(),
    _S.LOST: frozenset(),
    _S.PREVENTED: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """A dispute. Amounts are in minor units of ``currency``, fees of ``fee_currency``."""

    id: str
    merchant_id: str
    livemode: bool
    payment_id: str
    status: DisputeStatus
    amount: int
    currency: str
    reason: str | None
    respond_by: datetime | None
    processor: str
    processor_reference: str
    #: The row among the attempts that its transfers hang on.
    attempt_id: str
    amount_withdrawn: int
    amount_returned: int
    fee: int
    fee_returned: int
    fee_currency: str | None
    created_at: datetime

    @property
    def loss(self) -> int:
        """What the merchant bears, once that is decided.

        Processors return money once: after a dispute that was won all of it is still to come, or the rest is lost.
        """
        lost = self.status in (_S.LOST, _S.PREVENTED) or (self.status is _S.WON and self.amount_returned > 0)
        return self.amount_withdrawn - self.amount_returned if lost else 0


@dataclass(frozen=True, kw_only=True)
class DisputeChange:
    """What a look at a dispute changes."""

    dispute: Dispute
    #: Each with the currency of its amount.
    postings: tuple[tuple[str, Posting], ...]
    events: tuple[EventType, ...]


def status_of(snapshot: DisputeSnapshot) -> DisputeStatus:
    """Return the state of ``snapshot``.

    Raises:
        Contradiction: We do not know it.
    """
    try:
        return DisputeStatus(snapshot.status)
    except ValueError:
        raise Contradiction(f"dispute {snapshot.reference} has the unknown status {snapshot.status[:50]!r}") from None


def opened(dispute: Dispute, snapshot: DisputeSnapshot) -> DisputeChange:
    """Return what a dispute that was not known before changes; ``dispute`` has moved no money yet."""
    change = follow(dispute, snapshot)
    closed = (EventType.DISPUTE_CLOSED,) if change.dispute.status in CLOSED else ()
    return replace(change, events=(EventType.DISPUTE_CREATED, *closed))


def follow(dispute: Dispute, snapshot: DisputeSnapshot) -> DisputeChange:
    """Return what the processor's current state of ``dispute`` changes.

    Raises:
        Contradiction: What the snapshot says cannot follow what is booked: another currency, a state that does not come
            after the present one, or money that was moved twice, differently, or back in excess.
    """
    status = status_of(snapshot)
    if snapshot.currency != dispute.currency:
        raise Contradiction(
            f"dispute {snapshot.reference} is in {snapshot.currency}, the payment in {dispute.currency}"
        )
    if status is not dispute.status and status not in TRANSITIONS[dispute.status]:
        raise Contradiction(f"dispute {snapshot.reference} is {status}, in our books {dispute.status}")
    if snapshot.amount_returned is None:
        raise Contradiction(f"dispute {snapshot.reference} was returned in part, in another currency: how much?")
    after = replace(
        dispute,
        status=status,
        amount=snapshot.amount,
        reason=snapshot.reason,
        respond_by=snapshot.respond_by,
        amount_withdrawn=snapshot.amount_withdrawn,
        amount_returned=snapshot.amount_returned,
        fee=snapshot.fee,
        fee_returned=snapshot.fee_returned,
        fee_currency=snapshot.fee_currency or dispute.fee_currency,
    )
    if after.amount_returned > after.amount_withdrawn or after.fee_returned > after.fee:
        raise Contradiction(f"of dispute {snapshot.reference} more was returned than withdrawn")
    if dispute.fee and after.fee_currency != dispute.fee_currency:
        raise Contradiction(f"the fees of dispute {snapshot.reference} are in two currencies")
    events: tuple[EventType, ...] = ()
    if after != dispute:
        newly_closed = status in CLOSED and status is not dispute.status
        events = (EventType.DISPUTE_CLOSED if newly_closed else EventType.DISPUTE_UPDATED,)
    return DisputeChange(dispute=after, postings=tuple(_postings(dispute, after)), events=events)


def _postings(before: Dispute, after: Dispute) -> Iterator[tuple[str, Posting]]:
    fee_currency = after.fee_currency or after.currency
    moves = (
        (PostingKind.DISPUTE, after.currency, before.amount_withdrawn, after.amount_withdrawn),
        (PostingKind.DISPUTE_REVERSAL, after.currency, before.amount_returned, after.amount_returned),
        # What is returned after the loss was booked makes it smaller.
        (PostingKind.DISPUTE_LOSS, after.currency, before.loss, max(before.loss, after.loss)),
        (PostingKind.DISPUTE_LOSS_REVERSAL, after.currency, 0, max(before.loss - after.loss, 0)),
        (PostingKind.DISPUTE_FEE, fee_currency, before.fee, after.fee),
        (PostingKind.DISPUTE_FEE_REVERSAL, fee_currency, before.fee_returned, after.fee_returned),
    )
    for kind, currency, posted, now in moves:
        if posted != now:
            _require_first(after, kind, posted)
            yield currency, posting(kind, now)


def _require_first(dispute: Dispute, kind: PostingKind, posted: int) -> None:
    if posted:
        raise Contradiction(f"dispute {dispute.processor_reference} moved money again ({kind}), after {posted}")
