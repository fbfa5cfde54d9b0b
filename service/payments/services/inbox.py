"""Events from processors: stored before they are acknowledged; then the objects they concern are looked up soon."""

from collections.abc import Sequence
from datetime import timedelta

from payments.processors.inbound import ProcessorEvent
from payments.repositories import attempts, inbox
from payments.repositories.database import Connection
from payments.services.context import Context

#: An event may overtake the response that tells us the object's id; after this time the object is not ours.
MATCH_WINDOW = timedelta(hours=1)
RETENTION = timedelta(days=30)
_BATCH = 100
_CLEAN_UP_BATCH = 1000


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
        if is_new and (
            not event.references or _look_up_soon(tx, processor, livemode=event.livemode, references=event.references)
        ):
            inbox.mark_handled(tx, processor=processor, event_id=event.event_id)
        tx.commit()
    return is_new


def match_pending(context: Context) -> bool:
    """Retry events that arrived before we knew their object; returns whether any was handled."""
    handled = False
    for processor in context.processors:
        with context.database.transaction() as tx:
            for event in inbox.lock_unmatched(tx, processor=processor, limit=_BATCH, max_age=MATCH_WINDOW):
                if _look_up_soon(tx, processor, livemode=event.livemode, references=event.references):
                    inbox.mark_handled(tx, processor=processor, event_id=event.event_id)
                    handled = True
            tx.commit()
    return handled


def clean_up(context: Context) -> bool:
    """Delete events beyond the retention period, one batch; returns whether there were any."""
    with context.database.transaction() as tx:
        deleted = inbox.delete_old(tx, older_than=RETENTION, limit=_CLEAN_UP_BATCH)
        tx.commit()
    return deleted > 0


def _look_up_soon(tx: Connection, processor: str, *, livemode: bool, references: Sequence[str]) -> bool:
    """Make the open attempts concerning these objects due now; ``False`` if none of the objects is known."""
    for reference in references:
        attempts.look_up_soon(tx, processor=processor, livemode=livemode, reference=reference)
    return inbox.is_known(tx, processor=processor, livemode=livemode, references=references)
