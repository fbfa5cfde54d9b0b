"""Webhooks that Stripe sends to us: whether one is genuine and fresh, and which of Stripe's objects it is about.

Nothing else in it is used: order and content are not trusted, the object is retrieved.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import stripe

from payments.processors.inbound import InvalidSignature, ProcessorEvent

SIGNATURE_HEADER = "Stripe-Signature"
#: Seconds that a signature may be old, or ahead of our clock.
TOLERANCE = 300
#: Kinds of Stripe's objects that are ours, or belong to one that is.
_OURS = frozenset({"payment_intent", "refund", "charge"})


def read(body: bytes, signature: str | None, *, secret: str, clock: Callable[[], float] = time.time) -> ProcessorEvent:
    """The notice in ``body``, whose raw bytes carry ``signature``.

    Raises:
        InvalidSignature: signature missing, wrong, too old or from the future, or the body is no event.
    """
    _verify(body, signature, secret, clock())
    try:
        event = json.loads(body)
        found: Any = event["data"]["object"]
        named = (found.get("id"), found.get("payment_intent"))
        references = tuple(_text(name) for name in named if name is not None) if found["object"] in _OURS else ()
        return ProcessorEvent(
            event_id=_text(event["id"]),
            type=_text(event["type"]),
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
    # The SDK's own tolerance looks back only.
    if abs(now - stamp) > TOLERANCE:
        raise InvalidSignature(f"The signature is more than {TOLERANCE} seconds away from our clock.")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise ValueError("not an id")
    return value
