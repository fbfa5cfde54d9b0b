"""What use cases work with, handed to them explicitly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from payments.metrics import Metrics
from payments.processors.base import Processor
from payments.repositories.database import Database


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Context:
    """The outside world of a process."""

    database: Database
    #: By name: payments that were made through an earlier processor are still captured and refunded there.
    processors: Mapping[str, Processor]
    #: Name of the processor that new payments go through.
    processor_name: str
    metrics: Metrics = field(default_factory=Metrics)
    #: The time for identifiers; leases and deadlines use the database's clock.
    now: Callable[[], datetime] = _now

    @property
    def processor(self) -> Processor:
        """The processor of new payments."""
        return self.processors[self.processor_name]
