"""Events that processors send to us: that something happened, and to which of their objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from payments.domain.snapshots import PaymentSnapshot


class InvalidSignature(Exception):  # noqa: N818 - a refusal, not a fault
    """The message is not from the processor, too old, or malformed."""


class RetrievalFailed(Exception):  # noqa: N818 - a lack of evidence, not a fault
    """The processor did not show its object; the message says why. It may later."""


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
    """A processor that sends events to `/v1/processors/{name}/webhooks`, and shows the objects they are about."""

    @property
    def name(self) -> str:
        """Stable name, as stored and as used in paths."""

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProcessorEvent:
        """Verify the signature and age of ``body``, and return the event in it.

        Raises:
            InvalidSignature: The message cannot be trusted.
        """

    def retrieve(self, references: Sequence[str], *, timeout: float) -> PaymentSnapshot | None:
        """Return the payment that one of the processor's objects belongs to, with everything done to it.

        Nothing is returned that another call could complete: what depends on something else is read before it.

        Args:
            references: The processor's ids of objects of one payment.
            timeout: Seconds in which the processor has to respond.

        Returns:
            The payment, ``None`` if the processor knows none of the objects, or they belong to none.

        Raises:
            RetrievalFailed: The processor did not respond, or refused.
            Contradiction: Its object makes no sense to us.
        """
