"""Wiring: builds what a process works with from its settings."""

from payments.core.settings import Settings
from payments.observability.metrics import Metrics
from payments.processors.base import Processor
from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database
from payments.services.context import Context

#: Seconds that a request waits for a connection before it gets 503.
_POOL_TIMEOUT = 3.0
#: Connections of the sandbox's own journal.
_JOURNAL_POOL = 8


def make_context(
    settings: Settings,
    *,
    name: str,
    pool_size: int | None = None,
    pool_timeout: float = _POOL_TIMEOUT,
    patience: float | None = None,
) -> Context:
    """Return the context of process ``name``; its connections open in the background.

    Args:
        settings: Settings of the process.
        name: Name of the process, shown in the database's activity view.
        pool_size: Connections to open, ``DB_POOL_SIZE`` unless given.
        pool_timeout: Seconds to wait for a free connection.
        patience: Seconds for a transaction whose server does not answer at all, see :class:`Database`.
    """
    size = pool_size or settings.db_pool_size
    database = Database(size=size, timeout=pool_timeout, name=f"payments-{name}", patience=patience)
    journal = Database(
        size=_JOURNAL_POOL, timeout=pool_timeout, name=f"payments-{name}-sandbox", span="journal", patience=patience
    )
    return Context(
        database=database,
        processors=_processors(settings, journal),
        routes=routes(settings),
        allow_local_webhooks=settings.allow_local_webhooks,
        metrics=Metrics(settings.environment),
        on_close=(database.close, journal.close),
    )


def _processors(settings: Settings, journal: Database) -> dict[str, Processor]:
    """Return every configured processor: payments of an earlier one are still captured and refunded there."""
    processors: dict[str, Processor] = {
        SandboxProcessor.name: SandboxProcessor(journal, public_base_url=settings.public_base_url)
    }
    if settings.stripe_api_key:
        # Imported here: Stripe's SDK takes a third of the start of whoever does not use it.
        from payments.processors.stripe import StripeProcessor

        stripe = StripeProcessor(api_key=settings.stripe_api_key, webhook_secret=settings.stripe_webhook_secret)
        processors[stripe.name] = stripe
    return processors


def routes(settings: Settings) -> dict[bool, str]:
    """Return the name of the processor for new payments, by livemode.

    Where live keys are allowed, the processor's key is a live one (`Settings` sees to it), but test-mode payments are
    still accepted: smoke checks create them. They go to the sandbox, because that account would move money.
    """
    test = SandboxProcessor.name if settings.allow_live_keys else settings.processor
    return {False: test, True: settings.processor}
