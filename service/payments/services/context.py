"""The context of the use cases: everything they use of the outside world."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from payments.observability.metrics import Metrics
from payments.processors.base import Processor
from payments.repositories.database import Database


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Context:
    """The outside world of a process."""

    database: Database
    #: By name. Payments made through a former processor are still captured and refunded there.
    processors: Mapping[str, Processor]
    #: Name of the processor for new payments, by livemode.
    routes: Mapping[bool, str]
    #: Whether webhooks may be sent to this machine. For development only.
    allow_local_webhooks: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    #: Clock for identifiers and records only: whatever is compared with stored times is `repositories.database.now`.
    now: Callable[[], datetime] = _now

    #: What to call at the end: a process that serves until it is killed never does.
    on_close: Sequence[Callable[[], None]] = ()

    def close(self) -> None:
        """Close every connection."""
        for close in self.on_close:
            close()

    def processor_for(self, *, livemode: bool) -> Processor:
        """Return the processor for new payments in a mode."""
        return self.processors[self.routes[livemode]]
