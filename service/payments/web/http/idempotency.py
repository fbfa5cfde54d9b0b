"""The Idempotency-Key header, and what identifies a request among its repetitions."""

import hashlib
import json
import re

from flask import Request, Response

from payments.core.problems import IdempotencyKeyInvalid, IdempotencyKeyMissing
from payments.services.idempotency import ApiResponse, IdempotentRequest
from payments.web.http.problems import MEDIA_TYPE, current_request_id

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_LENGTH = 255
#: A string of RFC 8941 (``"..."``), as the IETF draft has it, or the same characters bare. A bare key has no comma,
#: quote or space: servers join repeated headers with a comma, and two keys must never be read as one.
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x7e]+")
_PAYMENT_REFUSED = 402


def idempotent_request(request: Request) -> IdempotentRequest:
    """What identifies ``request``, whose body was read and is fit.

    Raises:
        IdempotencyKeyMissing, IdempotencyKeyInvalid: the header cannot be used.
    """
    body = request.get_json()
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    material = "\n".join((request.method, request.path, canonical))
    return IdempotentRequest(
        key_hash=hashlib.sha256(read_key(request.headers.getlist(HEADER)).encode()).digest(),
        fingerprint=hashlib.sha256(material.encode()).digest(),
        request_id=current_request_id(),
    )


def read_key(values: list[str]) -> str:
    """The key that the header's ``values`` hold.

    Raises:
        IdempotencyKeyMissing, IdempotencyKeyInvalid: there is not exactly one that is fit.
    """
    if not values:
        raise IdempotencyKeyMissing("Send an Idempotency-Key header: a new random value for each new request.")
    text = values[0].strip()
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if len(values) > 1 or not key or not (quoted or _BARE.fullmatch(text)):
        raise IdempotencyKeyInvalid(
            "Send one Idempotency-Key of printable ASCII, bare (without spaces, commas and quotes) or in double quotes."
        )
    if len(key) > MAX_LENGTH:
        raise IdempotencyKeyInvalid(f"The Idempotency-Key is longer than {MAX_LENGTH} characters. A UUID is enough.")
    return key


def respond(answer: ApiResponse) -> Response:
    """``answer`` as it is sent: the very bytes that were kept."""
    media_type = MEDIA_TYPE if answer.status == _PAYMENT_REFUSED else "application/json"
    response = Response(answer.body, status=answer.status, content_type=media_type)
    if answer.replayed:
        response.headers[REPLAYED] = "true"
    return response
