"""Events from processors: stored before they are acknowledged; then the objects they concern are looked at soon."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from payments.core.operator_errors import OperatorError
from payments.domain.operations import STUCK_AFTER, lookup_delay
from payments.processors.inbound import ProcessorEvent, RetrievalFailed, SendsWebhooks
from payments.repositories import attempts, audit, inbox
from payments.repositories.connection import Connection
from payments.repositories.inbox import ClaimedEvent, EventState, ListedEvent
from payments.services import following
from payments.services.context import Context
from payments.services.following import Verdict

_log = logging.getLogger("payments.inbox")
RETENTION = timedelta(days=30)
#: How long a worker has for the events it has claimed; after that another takes them.
LEASE = timedelta(seconds=60)
_CLEAN_UP_BATCH = 1000


class EventNotFoundError(OperatorError):
    """There is no such event that a person could deal with; the message says so."""


@dataclass(kw_only=True)
class EventGroup:
    """Claimed events about the same payment: one look is enough for all of them."""

    processor: str
    livemode: bool
    references: list[str] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    #: Looks at the oldest of them.
    looks: int = 0

    def add(self, event: ClaimedEvent) -> None:
        """Add an event and what it names."""
        self.references += [name for name in event.references if name not in self.references]
        self.event_ids.append(event.event_id)
        self.looks = max(self.looks, event.looks)


def receive(context: Context, processor: str, event: ProcessorEvent) -> bool:
    """Store ``event`` and schedule look-ups of its objects; ``False`` if it was received before."""
    with context.database.transaction() as tx:
        is_new = inbox.insert(
            tx,
            processor=processor,
            event_id=event.event_id,
            livemode=event.livemode,
            event_type=event.type,
            references=event.references,
        )
        if is_new and not event.references:
            inbox.finish(tx, processor=processor, event_ids=[event.event_id], state=EventState.NOT_OURS)
        for reference in event.references if is_new else ():
            attempts.look_up_soon(tx, processor=processor, livemode=event.livemode, reference=reference)
        tx.commit()
    return is_new


def claim_due(context: Context, processor: str, *, limit: int) -> Sequence[EventGroup]:
    """Claim up to ``limit`` due events of ``processor``, grouped by what they are about."""
    with context.database.transaction() as tx:
        claimed = inbox.claim_due(tx, processor=processor, limit=limit, lease=LEASE)
        tx.commit()
    groups: list[EventGroup] = []
    for event in claimed:
        fitting = (
            group
            for group in groups
            if group.livemode == event.livemode and set(group.references) & set(event.references)
        )
        group = next(fitting, None)
        if group is None:
            group = EventGroup(processor=processor, livemode=event.livemode)
            groups.append(group)
        group.add(event)
    return groups


def handle(context: Context, group: EventGroup) -> None:
    """Look at what claimed events are about, follow it, and record what has become of them."""
    processor = context.processors[group.processor]
    if not isinstance(processor, SendsWebhooks):
        raise TypeError(f"{group.processor} sends no webhooks.")
    try:
        verdict = following.follow(context, processor, livemode=group.livemode, references=group.references)
    except RetrievalFailed as error:
        verdict = Verdict(state=EventState.OPEN, reason=str(error))
    with context.database.transaction() as tx:
        _finish(tx, group, verdict)
        tx.commit()
    if verdict.state is EventState.UNMAPPED:
        extra = {"processor": group.processor, "events": group.event_ids, "reason": verdict.reason}
        _log.error("processor event cannot be mapped", extra=extra)


def _finish(tx: Connection, group: EventGroup, verdict: Verdict) -> None:
    if verdict.state is EventState.OPEN:
        _look_again(tx, group, verdict.reason or "")
        return
    inbox.finish(tx, processor=group.processor, event_ids=group.event_ids, state=verdict.state, reason=verdict.reason)
    if verdict.state is EventState.FOLLOWED:
        # The whole state agrees: so does whatever was found unmapped before that look.
        inbox.heal(tx, processor=group.processor, event_ids=verdict.unmapped_before)


def reschedule(context: Context, group: EventGroup, *, reason: str) -> None:
    """Back off from events that could not be handled because of a failure of ours."""
    with context.database.transaction() as tx:
        _look_again(tx, group, f"failed: {reason}")
        tx.commit()


def _look_again(tx: Connection, group: EventGroup, reason: str) -> None:
    delay = lookup_delay(group.looks - 1)
    inbox.look_again(tx, processor=group.processor, event_ids=group.event_ids, delay=delay, reason=reason)


def clean_up(context: Context) -> bool:
    """Delete events beyond the retention period, one batch; returns whether there were any."""
    with context.database.transaction() as tx:
        deleted = inbox.delete_old(tx, older_than=RETENTION, limit=_CLEAN_UP_BATCH)
        tx.commit()
    return deleted > 0


def measure_unmapped(context: Context) -> bool:
    """Record how many events need a person."""
    with context.database.transaction() as tx:
        unmapped = inbox.count_unmapped(tx, stuck_after=STUCK_AFTER)
    context.metrics.sample("UnmappedProcessorEvents", unmapped, unit="Count")
    return False


def list_unmapped(context: Context) -> Sequence[ListedEvent]:
    """Return the events that need a person."""
    with context.database.transaction() as tx:
        return inbox.list_unmapped(tx, stuck_after=STUCK_AFTER)


def retry(context: Context, event_id: str) -> None:
    """Have the worker look once more at an event that could not be mapped.

    Raises:
        EventNotFoundError: There is no such event.
    """
    with context.database.transaction() as tx:
        _require(inbox.reopen(tx, event_id=event_id), event_id)
        tx.commit()


def resolve(context: Context, event_id: str, *, evidence: str, actor: str) -> None:
    """Mark an event as dealt with by a person, whose evidence is kept in the audit log.

    Raises:
        EventNotFoundError: There is no such event, or no evidence.
    """
    if not evidence.strip():
        raise EventNotFoundError("Say how the difference was dealt with, such as --evidence 'TICKET-17: ...'.")
    with context.database.transaction() as tx:
        _require(inbox.resolve(tx, event_id=event_id), event_id)
        audit.record(
            tx,
            None,
            actor=actor,
            action="processor_event.resolve",
            subject=event_id,
            now=context.now(),
            details={"evidence": evidence},
        )
        tx.commit()


def _require(found: bool, event_id: str) -> None:  # noqa: FBT001 - the result of the statement before
    if not found:
        raise EventNotFoundError(f"There is no open or unmapped event {event_id}. See `payments unmapped list`.")
