"""What processors tell us: kept before it is answered, then the object itself is asked about, soon."""

from collections.abc import Sequence
from datetime import timedelta

from payments.processors.inbound import ProcessorEvent
from payments.repositories import attempts, inbox
from payments.repositories.database import Connection
from payments.services.context import Context

#: A message may overtake the answer that tells us the object's id; after this it belongs to none of ours.
PATIENCE = timedelta(hours=1)
RETENTION = timedelta(days=30)
_BATCH = 100
_CLEAN_UP = 1000


def receive(context: Context, processor: str, notice: ProcessorEvent) -> bool:
    """Keep ``notice`` and let the worker ask about its objects now; ``False`` if it is known already."""
    with context.database.transaction() as tx:
        is_new = inbox.insert(
            tx,
            processor=processor,
            event_id=notice.event_id,
            livemode=notice.livemode,
            event_type=notice.type,
            references=notice.references,
        )
        if is_new and (
            not notice.references
            or _look_up_soon(tx, processor, livemode=notice.livemode, references=notice.references)
        ):
            inbox.mark_handled(tx, processor=processor, event_id=notice.event_id)
        tx.commit()
    return is_new


def handle_open(context: Context) -> bool:
    """Try messages again that came before we knew their object; ``True`` if one was handled."""
    handled = False
    for processor in context.processors:
        with context.database.transaction() as tx:
            for notice in inbox.claim_pending(tx, processor=processor, limit=_BATCH, younger_than=PATIENCE):
                if _look_up_soon(tx, processor, livemode=notice.livemode, references=notice.references):
                    inbox.mark_handled(tx, processor=processor, event_id=notice.event_id)
                    handled = True
            tx.commit()
    return handled


def clean_up(context: Context) -> bool:
    """Forget what is older than the retention; ``True`` if there was something."""
    with context.database.transaction() as tx:
        deleted = inbox.delete_old(tx, older_than=RETENTION, limit=_CLEAN_UP)
        tx.commit()
    return deleted > 0


def _look_up_soon(tx: Connection, processor: str, *, livemode: bool, references: Sequence[str]) -> bool:
    """Make what is open about these objects due now; ``False`` if they are none that we know."""
    for reference in references:
        attempts.look_up_soon(tx, processor=processor, livemode=livemode, reference=reference)
    return inbox.is_known(tx, processor=processor, livemode=livemode, references=references)
