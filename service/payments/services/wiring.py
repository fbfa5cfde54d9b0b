"""Puts a process's parts together from its settings."""

from payments.core.settings import Settings
from payments.observability.metrics import Metrics
from payments.processors.base import Processor
from payments.processors.sandbox import SandboxProcessor
from payments.processors.stripe import StripeProcessor
from payments.repositories.database import Database
from payments.services.context import Context

#: Connections of the sandbox's own journal.
_JOURNAL_POOL = 8


def make_context(settings: Settings, *, name: str) -> Context:
    """The context of process ``name``, with its connections opening in the background."""
    database = Database(size=settings.pool_size, timeout=settings.pool_timeout, name=f"payments-{name}")
    processors = _processors(settings, name)
    return Context(
        database=database,
        processors=processors,
        routes=routes(settings),
        allow_local_webhooks=settings.allow_local_webhooks,
        metrics=Metrics(settings.environment),
    )


def _processors(settings: Settings, name: str) -> dict[str, Processor]:
    """Every configured processor: payments of an earlier one are still captured and refunded there."""
    journal = Database(
        size=_JOURNAL_POOL, timeout=settings.pool_timeout, name=f"payments-{name}-sandbox", span="journal"
    )
    processors: dict[str, Processor] = {
        SandboxProcessor.name: SandboxProcessor(journal, public_base_url=settings.public_base_url)
    }
    if settings.stripe_api_key:
        stripe = StripeProcessor(api_key=settings.stripe_api_key, webhook_secret=settings.stripe_webhook_secret)
        processors[stripe.name] = stripe
    return processors


def routes(settings: Settings) -> dict[bool, str]:
    """Which processor new payments of a mode go through, by livemode.

    An environment whose Stripe key is live still takes test-mode payments (smoke checks make them); they go to the
    sandbox, since that Stripe account would move money.
    """
    stripe_is_live = settings.stripe_api_key.startswith(("sk_live_", "rk_live_"))
    test = SandboxProcessor.name if stripe_is_live else settings.processor
    return {False: test, True: settings.processor}
