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
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def idempotent_request() -> IdempotentRequest:
    """Return what identifies the current request, whose body is already validated.

    Raises:
        IdempotencyKeyMissing, IdempotencyKeyInvalid: The header cannot be used.
    """
    canonical = _CANONICAL.encode(request.get_json())
    fingerprint = "\n".join((request.method, request.path, canonical))
    return IdempotentRequest(
        key_hash=hashlib.sha256(read_key(request.headers.get(_HEADER)).encode()).digest(),
        fingerprint=hashlib.sha256(fingerprint.encode()).digest(),
        request_id=current_request_id(),
    )


def read_key(header: str | None) -> str:
    """Return the key in the header; two headers arrive as one, joined by a comma.

    Raises:
        IdempotencyKeyMissing, IdempotencyKeyInvalid: There is not exactly one valid key.
    """
    if header is None:
        raise IdempotencyKeyMissing("Send an Idempotency-Key header with a new random value for each new request.")
    text = header.strip()
    if _KEY.fullmatch(text) is None:
        raise IdempotencyKeyInvalid(
            "Send one Idempotency-Key of 1 to 255 characters in printable ASCII: bare (no spaces, commas or quotes) or "
            "in double quotes. A UUID is enough."
        )
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
