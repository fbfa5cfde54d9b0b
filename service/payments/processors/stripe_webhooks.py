"""Webhooks that Stripe sends to us: whether one is genuine and fresh, and which of Stripe's objects it is about.

Nothing else in it is used: order and content are not trusted, the object is retrieved.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import stripe

SIGNATURE_HEADER = "Stripe-Signature"
#: Seconds that a signature may be old, or ahead of our clock.
TOLERANCE = 300


class SignatureRefused(Exception):  # noqa: N818  # told to the sender as a fact
    """The message is not from Stripe, or too old."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """That something happened to an object of Stripe's."""

    event_id: str
    type: str
    #: The PaymentIntent it concerns, if any.
    intent_id: str | None


def read(body: bytes, signature: str | None, *, secret: str, clock: Callable[[], float] = time.time) -> Notice:
    """The notice in ``body``, whose raw bytes carry ``signature``.

    Raises:
        SignatureRefused: signature missing, wrong, too old or from the future, or the body is no event.
    """
    _verify(body, signature, secret, clock())
    try:
        event = json.loads(body)
        found: Any = event["data"]["object"]
        kind, event_id, object_id = found.get("object"), event["id"], found.get("id")
        intent = object_id if kind == "payment_intent" else found.get("payment_intent")
        return Notice(event_id=_text(event_id), type=_text(event["type"]), intent_id=_text(intent) if intent else None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SignatureRefused("The body is not an event.") from error


def _verify(body: bytes, signature: str | None, secret: str, now: float) -> None:
    if not secret or not signature:
        raise SignatureRefused(f"The {SIGNATURE_HEADER} header is missing.")
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret)
        stamp = int(dict(part.split("=", 1) for part in reversed(signature.split(",")))["t"])
    except (stripe.SignatureVerificationError, ValueError, KeyError) as error:
        raise SignatureRefused("The signature does not match the body.") from error
    # The SDK's own tolerance looks back only.
    if abs(now - stamp) > TOLERANCE:
        raise SignatureRefused(f"The signature is more than {TOLERANCE} seconds away from our clock.")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise ValueError("not an id")
    return value
