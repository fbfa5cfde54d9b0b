"""Outbound webhooks by the Standard Webhooks 1.0 specification: secrets, signatures, and the retry schedule.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import random
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta

_SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, not a secret
_SECRET_BYTES = 32
#: How long a rotated secret keeps signing too: the default and the maximum.
DEFAULT_OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=7)
#: The delay after each failed attempt, as the specification recommends: three days in total.
RETRY_DELAYS: tuple[timedelta, ...] = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
MAX_ATTEMPTS = len(RETRY_DELAYS) + 1
#: Delays are lengthened by up to this fraction, so that a recovering endpoint is not hit by everything at once.
_JITTER = 0.2


def new_secret() -> str:
    """Return a new signing secret: ``whsec_`` and 256 random bits in base 64."""
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("A signing secret must be whsec_ followed by base 64.") from error


def sign(secrets_: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the ``webhook-signature`` header: one signature per secret, so that a rotation loses no delivery."""
    content = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(_key(secret), content, hashlib.sha256).digest() for secret in secrets_)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)


def signed_headers(secrets_: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery; what belongs to the connection is the sender's."""
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets_, message_id=message_id, timestamp=timestamp, body=body),
    }


def retry_delay(
    attempts: int, *, retry_after: timedelta | None = None, draw: Callable[[], float] = random.random
) -> timedelta | None:
    """Return the delay after the ``attempts``-th consecutive failure; ``None`` once the schedule is exhausted.

    The receiver's own ``retry_after`` can lengthen the delay, up to a day. ``draw`` returns the jitter, from 0 to 1.
    """
    if not 1 <= attempts <= len(RETRY_DELAYS):
        return None
    delay = RETRY_DELAYS[attempts - 1] * (1 + _JITTER * draw())
    if retry_after is None:
        return delay
    return max(delay, min(retry_after, timedelta(days=1)))
