"""Everything that the worker does, and how often."""

import sys
import threading
from collections.abc import Callable, Sequence

from payments.delivery.sender import Sender
from payments.processors.inbound import SendsWebhooks
from payments.services import housekeeping, inbox, ledger_integrity, queues, webhook_delivery
from payments.services.context import Context
from payments.services.recovery import void_expired_authorizations
from payments.worker.loops import Loop
from payments.worker.processor_events import EventPool
from payments.worker.recovery import RecoveryPool
from payments.worker.webhook_delivery import DeliveryPool

#: Seconds between two looks at all queues at once, which is what an idle worker does.
_POLL = 0.25
#: Seconds after which a queue is served in any case.
_UNASKED = 30.0


def all_loops(context: Context) -> list[Loop]:
    """Return the worker's loops. One asks what is due, for all queues at once; the loop of each waits for it."""
    served = _queues(context)
    return [
        *served,
        Loop(name="queues", interval=_POLL, run=lambda: _wake(context, served)),
        Loop(name="authorizations", interval=30.0, run=lambda: void_expired_authorizations(context)),
        Loop(name="ledger_rollup", interval=5.0, run=lambda: ledger_integrity.roll_up(context)),
        Loop(name="ledger_sealer", interval=5.0, run=lambda: ledger_integrity.seal(context)),
        Loop(name="idempotency_keys", interval=60.0, run=lambda: housekeeping.delete_expired_keys(context)),
        Loop(name="backlog", interval=15.0, run=lambda: housekeeping.measure_backlog(context)),
        Loop(name="webhook_moves", interval=5.0, run=lambda: webhook_delivery.move_messages(context)),
        Loop(name="webhook_clean_up", interval=300.0, run=lambda: webhook_delivery.clean_up(context)),
        Loop(name="webhook_metrics", interval=15.0, run=lambda: housekeeping.measure_webhook_backlog(context)),
        Loop(name="inbox_metrics", interval=15.0, run=lambda: inbox.measure_unmapped(context)),
        Loop(name="reader_metrics", interval=15.0, run=lambda: housekeeping.measure_readers(context)),
        Loop(name="inbox_clean_up", interval=300.0, run=lambda: inbox.clean_up(context)),
        Loop(name="metrics", interval=30.0, run=lambda: flush_metrics(context)),
    ]


def _queues(context: Context) -> list[Loop]:
    """Return the loops that serve queues. A processor that hangs must not delay what is another's."""
    messages = threading.Event()
    deliveries = DeliveryPool(context, Sender(allow_local=context.allow_local_webhooks), more=messages.set)
    recoveries = {name: RecoveryPool(context, name) for name in context.processors}
    followed = [name for name, processor in context.processors.items() if isinstance(processor, SendsWebhooks)]
    events = {name: EventPool(context, name) for name in followed}
    return [
        *(_queue(f"recovery_{name}", pool.run, pool.close) for name, pool in recoveries.items()),
        *(_queue(f"events_{name}", pool.run, pool.close) for name, pool in events.items()),
        _queue("webhook_fan_out", lambda: webhook_delivery.fan_out(context, created=messages.set)),
        _queue("webhook_delivery", deliveries.run, deliveries.close, due=messages),
    ]


def _queue(
    name: str, run: Callable[[], bool], close: Callable[[], None] = lambda: None, due: threading.Event | None = None
) -> Loop:
    return Loop(name=name, interval=_UNASKED, run=run, close=close, due=due or threading.Event())


def _wake(context: Context, served: Sequence[Loop]) -> bool:
    """Have the queues served in which something is due: their loops' names begin with theirs."""
    found = tuple(queues.due(context))
    for loop in served:
        if loop.due is not None and loop.name.startswith(found):
            loop.due.set()
    return False


def flush_metrics(context: Context) -> bool:
    """Write the metrics recorded so far to standard output."""
    context.metrics.flush(lambda text: sys.stdout.write(text + "\n"))
    sys.stdout.flush()
    return False
