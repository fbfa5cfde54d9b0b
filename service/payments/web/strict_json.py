"""Request bodies as JSON, read strictly: what two parsers could understand differently is refused (RFC 8259, I-JSON).

Nothing is coerced here or later: schemas see exactly the types that were sent.
"""

import codecs
import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from flask import Request

from payments.problems import ContentTooLarge, MalformedRequest, UnsupportedMediaType

#: Bytes. The web application firewall refuses the same (`stages/service/firewall.py`).
MAX_BODY_BYTES = 65_536
#: Levels of objects and arrays.
MAX_DEPTH = 8
#: An integer has at most this many digits: amounts have 12, and converting long ones takes quadratic time.
MAX_DIGITS = 32
_SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")
#: A string without an end runs to the end of the body, which keeps the scan linear.
_BRACKETS_AND_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


def read(request: Request) -> Any:
    """The JSON value of the request's body.

    Raises:
        UnsupportedMediaType: it is not declared as ``application/json`` (in UTF-8).
        ContentTooLarge: more than :data:`MAX_BODY_BYTES`, by declaration or in fact.
        MalformedRequest: it is not strict JSON.
    """
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != "application/json" or charset != "utf-8":
        raise UnsupportedMediaType("Send the body as application/json in UTF-8; {} where there is nothing to say.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
    return parse(read_body(request))


def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The raw body; never more than ``limit`` bytes are held, whatever length is declared or not declared."""
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    request.max_content_length = None  # the limit is kept here, with a message
    body = request.stream.read(limit + 1)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> ContentTooLarge:
    return ContentTooLarge(f"The request body is too large. Send at most {limit} bytes.")


def parse(body: bytes) -> Any:
    """``body`` as a JSON value, or :class:`MalformedRequest` that says what is wrong without repeating values."""
    if not body.strip():
        raise MalformedRequest("The body is empty. Send a JSON object; {} where there is nothing to say.")
    if body.startswith(codecs.BOM_UTF8):
        raise MalformedRequest("The body begins with a byte order mark. Leave it out.")
    _check_depth(body)
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_bounded_int,
        )
    except UnicodeDecodeError as error:
        raise MalformedRequest(f"The body is not UTF-8: byte {error.start} is not valid.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedRequest(f"The body is not JSON: {error.msg.removesuffix(' at')} at {where}.") from error
    _check_strings(value)
    return value


def _check_depth(body: bytes) -> None:
    """Refuse deep nesting before a recursive parser sees it."""
    depth = 0
    for match in _BRACKETS_AND_STRINGS.finditer(body):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
            if depth > MAX_DEPTH:
                raise MalformedRequest(f"The body is nested too deeply. Use at most {MAX_DEPTH} levels.")
        elif token in (b"}", b"]"):
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedRequest("An object of the body has two members of the same name. Names must be unique.")
    return result


def _no_constant(name: str) -> NoReturn:
    raise MalformedRequest(f"{name} is not JSON. Use a finite number.")


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise MalformedRequest(f"A number of the body has more than {MAX_DIGITS} digits.")
    return int(digits)


def _check_strings(value: Any) -> None:
    for text in strings(value):
        if _SURROGATE_OR_NUL.search(text):
            raise MalformedRequest("A string of the body holds a NUL or half a surrogate pair. Send Unicode text.")


def strings(value: Any) -> Iterable[str]:
    """Every string in a JSON value, names of members included."""
    pending = [value]
    while pending:
        found = pending.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, dict):
            pending.extend(found.keys())
            pending.extend(found.values())
        elif isinstance(found, list):
            pending.extend(found)
