"""What a processor tells us by itself: that something happened, and to which of its objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class InvalidSignature(Exception):  # noqa: N818  # told to the sender as a fact
    """The message is not the processor's, or too old, or none at all."""


@dataclass(frozen=True, kw_only=True)
class ProcessorEvent:
    """That something happened. What happened is asked, not believed."""

    event_id: str
    type: str
    livemode: bool
    #: The processor's ids of the objects it is about; empty if it is about none of ours.
    references: tuple[str, ...]


@runtime_checkable
class SendsWebhooks(Protocol):
    """A processor that calls `/v1/processors/{name}/webhooks`."""

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProcessorEvent:
        """The notice in ``body``, after its signature and age were checked.

        Raises:
            InvalidSignature: it is not to be believed.
        """
