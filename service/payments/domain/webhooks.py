"""Outbound webhooks as Standard Webhooks 1.0 has them: secrets, signatures, and when a delivery is tried again. Pure.

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

_SECRET_PREFIX = "whsec_"  # noqa: S105  # the form's prefix, not a secret
_SECRET_BYTES = 32
#: How long the old secret of a rotation signs too, unless the caller says otherwise, and the most that can be said.
DEFAULT_OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=7)
#: Waits after each failed attempt, as the specification advises: three days in all.
RETRY_WAITS: tuple[timedelta, ...] = (
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
MAX_ATTEMPTS = len(RETRY_WAITS) + 1
#: Waits are longer by up to this part, so that an endpoint that comes back is not met by everything at once.
_JITTER = 0.2
_GONE = 410


def new_secret() -> str:
    """A signing secret, as the merchant gets it: ``whsec_`` and 256 random bits in base 64."""
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("A signing secret is whsec_ and base 64.") from error


def sign(secrets_: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` header: one signature per secret, so that a rotation misses no delivery."""
    content = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(_key(secret), content, hashlib.sha256).digest() for secret in secrets_)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)


def delivered(status: int | None) -> bool:
    """Whether an answer's status takes the message: any 2xx; a redirect does not."""
    return status is not None and 200 <= status < 300


def gone(status: int | None) -> bool:
    """Whether the receiver asks for no more messages."""
    return status == _GONE


def wait_after(
    attempts: int, *, retry_after: timedelta | None = None, draw: Callable[[], float] = random.random
) -> timedelta | None:
    """How long to wait after the ``attempts``-th failure in a row; ``None`` when the schedule is used up.

    A receiver's own ``retry_after`` lengthens the wait, up to a day.
    """
    if not 1 <= attempts <= len(RETRY_WAITS):
        return None
    wait = RETRY_WAITS[attempts - 1] * (1 + _JITTER * draw())
    if retry_after is None:
        return wait
    return max(wait, min(retry_after, timedelta(days=1)))
