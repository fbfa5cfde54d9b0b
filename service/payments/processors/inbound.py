"""Events that processors send to us: that something happened, and to which of their objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class InvalidSignature(Exception):  # noqa: N818 - a refusal, not a fault
    """The message is not from the processor, too old, or malformed."""


@dataclass(frozen=True, kw_only=True)
class ProcessorEvent:
    """An event. Its content is not trusted: the objects it names are looked up."""

    event_id: str
    type: str
    livemode: bool
    #: The processor's ids of the objects it concerns; empty if none can be ours.
    references: tuple[str, ...]


@runtime_checkable
class SendsWebhooks(Protocol):
    """A processor that sends events to `/v1/processors/{name}/webhooks`."""

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProcessorEvent:
        """Verify the signature and age of ``body``, and return the event in it.

        Raises:
            InvalidSignature: The message cannot be trusted.
        """
