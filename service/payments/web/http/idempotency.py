"""The Idempotency-Key header, and what identifies a request among its retries."""

import hashlib
import json
import re

from flask import request

from payments.core.problems import IdempotencyKeyInvalid, IdempotencyKeyMissing
from payments.services.idempotency import IdempotentRequest
from payments.web.http.problems import current_request_id

_HEADER = "Idempotency-Key"
_MAX_LENGTH = 255
#: A string of RFC 8941 (``"..."``), as in the IETF draft, or the same characters bare. A bare key has no comma, quote
#: or space: servers join repeated headers with a comma, and two keys must never be read as one.
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x7e]+")


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
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if len(values) > 1 or not key or not (quoted or _BARE.fullmatch(text)):
        raise IdempotencyKeyInvalid(
            "Send one Idempotency-Key in printable ASCII: bare (no spaces, commas or quotes) or in double quotes."
        )
    if len(key) > _MAX_LENGTH:
        raise IdempotencyKeyInvalid(f"The Idempotency-Key exceeds {_MAX_LENGTH} characters. A UUID is enough.")
    return key
