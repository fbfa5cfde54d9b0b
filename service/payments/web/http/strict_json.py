"""Strict JSON: rejects request bodies that two parsers could understand differently (RFC 8259, I-JSON).

Nothing is coerced, here or later: schemas see exactly the types that were sent.
"""

import codecs
import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from flask import Request

from payments.core.problems import ContentTooLarge, MalformedRequest, UnsupportedMediaType

#: Bytes. The web application firewall has the same limit.
MAX_BODY_BYTES = 65_536
#: Levels of objects and arrays.
MAX_DEPTH = 8
#: Digits of an integer: amounts have 12, and converting long ones takes quadratic time.
MAX_DIGITS = 32
_SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")
#: An unterminated string extends to the end of the body, which keeps the scan linear.
_BRACKETS_AND_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


def read(request: Request) -> Any:
    """Return the JSON value of the request's body.

    Raises:
        UnsupportedMediaType: It is not declared as ``application/json`` (in UTF-8).
        ContentTooLarge: It exceeds :data:`MAX_BODY_BYTES`, declared or actual.
        MalformedRequest: It is not strict JSON.
    """
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != "application/json" or charset != "utf-8":
        raise UnsupportedMediaType("Send the body as application/json in UTF-8, {} if the operation needs no fields.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
    return parse(read_body(request))


def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return the raw body, reading at most ``limit`` bytes, whatever length is declared.

    Raises:
        ContentTooLarge: It exceeds ``limit``.
    """
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    request.max_content_length = None  # enforced here, with a message
    body = request.stream.read(limit + 1)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> ContentTooLarge:
    return ContentTooLarge(f"The request body is too large. Send at most {limit} bytes.")


def parse(body: bytes) -> object:
    """Parse ``body``.

    Raises:
        MalformedRequest: It is not strict JSON; the message does not repeat values.
    """
    if not body.strip():
        raise MalformedRequest("The body is empty. Send a JSON object, {} if the operation needs no fields.")
    if body.startswith(codecs.BOM_UTF8):
        raise MalformedRequest("The body starts with a byte order mark. Remove it.")
    _check_depth(body)
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_reject_constant,
            parse_int=_bounded_int,
        )
    except UnicodeDecodeError as error:
        raise MalformedRequest(f"The body is not UTF-8: byte {error.start} is invalid.") from error
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        raise MalformedRequest(f"The body is not valid JSON: {error.msg.removesuffix(' at')} at {position}.") from error
    _check_strings(value)
    return value


def _check_depth(body: bytes) -> None:
    """Reject deep nesting before a recursive parser sees it."""
    depth = 0
    for match in _BRACKETS_AND_STRINGS.finditer(body):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
            if depth > MAX_DEPTH:
                raise MalformedRequest(f"The body is nested too deeply. Use at most {MAX_DEPTH} levels.")
        elif token in (b"}", b"]"):
            depth -= 1


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedRequest("An object in the body repeats a field name. Names must be unique.")
    return result


def _reject_constant(name: str) -> NoReturn:
    raise MalformedRequest(f"{name} is not valid JSON. Use a finite number.")


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise MalformedRequest(f"A number in the body has more than {MAX_DIGITS} digits.")
    return int(digits)


def _check_strings(value: object) -> None:
    for text in strings(value):
        if _SURROGATE_OR_NUL.search(text):
            raise MalformedRequest("A string in the body contains a NUL character or an unpaired surrogate.")


def strings(value: object) -> Iterable[str]:
    """Yield every string in a JSON value, including field names."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
