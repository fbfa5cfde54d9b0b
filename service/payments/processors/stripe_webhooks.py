"""Webhooks from Stripe: whether one is genuine and recent, and which of Stripe's objects it concerns.

Nothing else in it is used: its order and content are not trusted, the objects are retrieved instead.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import stripe

from payments.processors.inbound import InvalidSignature, ProcessorEvent

SIGNATURE_HEADER = "Stripe-Signature"
#: Seconds by which the time of a signature may differ from our clock.
TOLERANCE = 300
#: Types of Stripe's objects that our attempts create, or that belong to one of those.
_OBJECT_TYPES = frozenset({"payment_intent", "refund", "charge", "dispute"})


def read(body: bytes, signature: str | None, *, secret: str, clock: Callable[[], float] = time.time) -> ProcessorEvent:
    """Return the event in ``body``, whose raw bytes are signed by ``signature``.

    Raises:
        InvalidSignature: The signature is missing, wrong, too old or in the future, or the body is not an event.
    """
    _verify(body, signature, secret, clock())
    try:
        event = json.loads(body)
        found: Any = event["data"]["object"]  # Any: parsed JSON, checked as it is used
        named = (found.get("id"), found.get("payment_intent"), found.get("charge"))
        references = (
            tuple(_identifier(name) for name in named if name is not None) if found["object"] in _OBJECT_TYPES else ()
        )
        return ProcessorEvent(
            event_id=_identifier(event["id"]),
            type=_identifier(event["type"]),
            livemode=event["livemode"] is True,
            references=references,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSignature("The body is not an event.") from error


def _verify(body: bytes, signature: str | None, secret: str, now: float) -> None:
    if not secret or not signature:
        raise InvalidSignature(f"The {SIGNATURE_HEADER} header is missing.")
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret)
        stamp = int(dict(part.split("=", 1) for part in reversed(signature.split(",")))["t"])
    except (stripe.SignatureVerificationError, ValueError, KeyError) as error:
        raise InvalidSignature("The signature does not match the body.") from error
    # The tolerance of the SDK covers old signatures only.
    if abs(now - stamp) > TOLERANCE:
        raise InvalidSignature(
            f"The timestamp of the signature differs from our clock by more than {TOLERANCE} seconds."
        )


def _identifier(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise ValueError("not an id")
    return value
