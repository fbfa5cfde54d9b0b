"""Everything that the worker does, and how often."""

import sys

from payments.delivery.sender import Sender
from payments.processors.inbound import SendsWebhooks
from payments.services import housekeeping, inbox, ledger_integrity, webhook_delivery
from payments.services.context import Context
from payments.services.recovery import void_expired_authorizations
from payments.worker.loops import Loop
from payments.worker.processor_events import EventPool
from payments.worker.recovery import RecoveryPool
from payments.worker.webhook_delivery import DeliveryPool


def all_loops(context: Context) -> list[Loop]:
    """Return the worker's loops."""
    deliveries = DeliveryPool(context, Sender(allow_local=context.allow_local_webhooks))
    return [
        *(_recovery(context, processor) for processor in context.processors),
        Loop(name="authorizations", interval=30.0, run=lambda: void_expired_authorizations(context)),
        Loop(name="ledger_rollup", interval=5.0, run=lambda: ledger_integrity.roll_up(context)),
        Loop(name="ledger_sealer", interval=5.0, run=lambda: ledger_integrity.seal(context)),
        Loop(name="idempotency_keys", interval=60.0, run=lambda: housekeeping.delete_expired_keys(context)),
        Loop(name="backlog", interval=15.0, run=lambda: housekeeping.measure_backlog(context)),
        Loop(name="webhook_fan_out", interval=0.25, run=lambda: webhook_delivery.fan_out(context)),
        Loop(name="webhook_delivery", interval=0.25, run=deliveries.run, close=deliveries.close),
        Loop(name="webhook_clean_up", interval=300.0, run=lambda: webhook_delivery.clean_up(context)),
        Loop(name="webhook_metrics", interval=15.0, run=lambda: housekeeping.measure_webhook_backlog(context)),
        *(
            _processor_events(context, name)
            for name, processor in context.processors.items()
            if isinstance(processor, SendsWebhooks)
        ),
        Loop(name="inbox_metrics", interval=15.0, run=lambda: inbox.measure_unmapped(context)),
        Loop(name="reader_metrics", interval=15.0, run=lambda: housekeeping.measure_readers(context)),
        Loop(name="inbox_clean_up", interval=300.0, run=lambda: inbox.clean_up(context)),
        Loop(name="metrics", interval=30.0, run=lambda: flush_metrics(context)),
    ]


def _recovery(context: Context, processor: str) -> Loop:
    """Return the loop of one processor: a processor that hangs must not delay the attempts of another."""
    pool = RecoveryPool(context, processor)
    return Loop(name=f"recovery_{processor}", interval=0.25, run=pool.run, close=pool.close)


def _processor_events(context: Context, processor: str) -> Loop:
    """Return the loop that follows what one processor does on its own."""
    pool = EventPool(context, processor)
    return Loop(name=f"events_{processor}", interval=1.0, run=pool.run, close=pool.close)


def flush_metrics(context: Context) -> bool:
    """Write the metrics recorded so far to standard output."""
    context.metrics.flush(lambda text: sys.stdout.write(text + "\n"))
    sys.stdout.flush()
    return False
