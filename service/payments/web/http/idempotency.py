"""The Idempotency-Key header, and what identifies a request among its retries."""

import hashlib
import json
import re

from flask import request

from payments.core.problems import IdempotencyKeyInvalid, IdempotencyKeyMissing
from payments.services.idempotency import IdempotentRequest
from payments.web.http.patterns import IDEMPOTENCY_KEY
from payments.web.http.problems import current_request_id

_HEADER = "Idempotency-Key"
_KEY = re.compile(IDEMPOTENCY_KEY)


def idempotent_request() -> IdempotentRequest:
    """Return what identifies the current request, whose body is already validated.

    Raises:
        IdempotencyKeyMissing, IdempotencyKeyInvalid: The header cannot be used.
    """
    canonical = json.dumps(request.get_json(), sort_keys=True, separators=(",", ":"))
    fingerprint = "\n".join((request.method, request.path, canonical))
    return IdempotentRequest(
        key_hash=hashlib.sha256(read_key(request.headers.getlist(_HEADER)).encode()).digest(),
        fingerprint=hashlib.sha256(fingerprint.encode()).digest(),
        request_id=current_request_id(),
    )


def read_key(values: list[str]) -> str:
    """Return the key in the header's ``values``.

    Raises:
        IdempotencyKeyMissing, IdempotencyKeyInvalid: There is not exactly one valid key.
    """
    if not values:
        raise IdempotencyKeyMissing("Send an Idempotency-Key header with a new random value for each new request.")
    text = values[0].strip()
    if len(values) > 1 or _KEY.fullmatch(text) is None:
        raise IdempotencyKeyInvalid(
            "Send one Idempotency-Key of 1 to 255 characters in printable ASCII: bare (no spaces, commas or quotes) or "
            "in double quotes. A UUID is enough."
        )
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
