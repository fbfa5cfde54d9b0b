"""The worker's loops of webhooks, outbound and inbound."""

from payments.delivery.sender import Sender
from payments.repositories import webhook_messages
from payments.services import inbox, webhook_delivery
from payments.services.context import Context
from payments.services.webhook_delivery import Deliverer
from payments.worker.loops import Loop


def webhook_loops(context: Context) -> list[Loop]:
    """Fan-out, delivery, messages of processors that came too early, and housekeeping."""
    deliverer = Deliverer(context, Sender(allow_local=context.allow_local_webhooks))
    return [
        Loop(name="webhook_fan_out", interval=0.25, run=lambda: webhook_delivery.fan_out(context)),
        Loop(name="webhook_delivery", interval=0.25, run=deliverer.run, close=deliverer.close),
        Loop(name="processor_inbox", interval=1.0, run=lambda: inbox.handle_open(context)),
        Loop(name="webhook_clean_up", interval=300.0, run=lambda: webhook_delivery.clean_up(context)),
        Loop(name="inbox_clean_up", interval=300.0, run=lambda: inbox.clean_up(context)),
        Loop(name="webhook_metrics", interval=15.0, run=lambda: measure(context)),
    ]


def measure(context: Context) -> bool:
    """Say how much is due and for how long: an alarm watches the age."""
    with context.database.transaction() as tx:
        found = webhook_messages.backlog(tx)
    context.metrics.sample("WebhookBacklog", found.messages, unit="Count")
    context.metrics.sample("WebhookBacklogAge", found.oldest_age, unit="Seconds")
    return False
