"""Bodies are parsed strictly: no duplicates, no surprises, bounded in size, depth and digits."""

import contextlib
import io
import json
import time
from typing import Any

import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from payments.core.problems import ContentTooLarge, MalformedRequest, UnsupportedMediaType
from payments.web.http import strict_json

_STRINGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_STRINGS, inner, max_size=3),
    max_leaves=8,
)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


@given(_VALUES, st.booleans())
def test_json_is_read_as_sent(value: object, escaped: bool) -> None:
    body = json.dumps(value, ensure_ascii=escaped).encode()
    if _depth(value) <= strict_json.MAX_DEPTH:
        assert strict_json.parse(body) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_either_json_or_a_problem(body: Any) -> None:
    with contextlib.suppress(MalformedRequest):
        strict_json.parse(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n", "is empty", id="whitespace"),
        pytest.param(b"{", "not valid JSON", id="unterminated"),
        pytest.param(b"{} {}", "not valid JSON", id="two values"),
        pytest.param(b"{'a': 1}", "not valid JSON", id="single quotes"),
        pytest.param(b'{"a": 1, "a": 2}', "repeats a field", id="duplicate"),
        pytest.param(b'{"a": {"b": 1, "\\u0062": 2}}', "repeats a field", id="escaped duplicate"),
        pytest.param(b'{"a": NaN}', "NaN", id="NaN"),
        pytest.param(b'{"a": -Infinity}', "Infinity", id="infinity"),
        pytest.param(b'{"a": "\\u0000"}', "NUL", id="NUL"),
        pytest.param(b'{"\\ud800": 1}', "surrogate", id="surrogate in a name"),
        pytest.param(b'{"a": "\\udfff\\ud800"}', "surrogate", id="swapped surrogates"),
        pytest.param(b'{"a": "\xff"}', "not UTF-8", id="not UTF-8"),
        pytest.param(b"[" * 9 + b"]" * 9, "nested", id="nested arrays"),
        pytest.param(b'{"a":' * 30000, "nested", id="nested objects"),
        pytest.param(b'{"a": ' + b"9" * 33 + b"}", "digits", id="long number"),
        pytest.param("\ufeff{}".encode(), "byte order mark", id="byte order mark"),
    ],
)
def test_ambiguous_json_is_rejected(body: Any, message: str) -> None:
    with pytest.raises(MalformedRequest, match=message) as raised:
        strict_json.parse(body)
    assert "9999" not in raised.value.detail


def test_brackets_in_strings_are_not_depth() -> None:
    assert strict_json.parse(b'{"a": "[[[[[[[[[[[[\\"[[[[["}') == {"a": '[[[[[[[[[[[["[[[[['}


def test_a_surrogate_pair_is_a_character() -> None:
    assert strict_json.parse(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    "body",
    [b'"' + b'\\"' * 32000, b"[" + b"1," * 32000, b'{"a":"' + b"\\" * 65000, b'"' * 65000],
    ids=["escaped quotes", "commas", "backslashes", "quotes"],
)
def test_the_worst_body_is_read_in_linear_time(body: Any) -> None:
    started = time.process_time()
    with pytest.raises(MalformedRequest):
        strict_json.parse(body)
    assert time.process_time() - started < 5  # a quadratic scan would take minutes


def _request(
    body: bytes, *, length: int | None = None, media: str = "application/json", encoding: str = "identity"
) -> Request:
    builder = EnvironBuilder(
        method="POST", input_stream=io.BytesIO(body), headers=[("Content-Encoding", encoding)], content_type=media
    )
    environ = builder.get_environ()
    environ["wsgi.input_terminated"] = True
    if length is None:
        environ.pop("CONTENT_LENGTH", None)
    else:
        environ["CONTENT_LENGTH"] = str(length)
    return Request(environ)


def test_a_body_without_a_declared_length_is_bounded() -> None:
    with pytest.raises(ContentTooLarge):
        strict_json.read(_request(b'"' + b"a" * 70000 + b'"'))
    assert strict_json.read(_request(b'{"a": 1}')) == {"a": 1}


def test_an_excessive_declared_length_is_rejected_unread() -> None:
    with pytest.raises(ContentTooLarge):
        strict_json.read(_request(b"", length=65537))


def test_the_limit_itself_is_accepted() -> None:
    body = b'"' + b"a" * (65536 - 2) + b'"'
    assert len(strict_json.read(_request(body, length=len(body)))) == 65534


@pytest.mark.parametrize("media", ["text/plain", "application/json; charset=latin-1", "multipart/form-data"])
def test_only_json_in_utf_8_is_read(media: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        strict_json.read(_request(b"{}", media=media))


def test_a_compressed_body_is_rejected() -> None:
    with pytest.raises(UnsupportedMediaType):
        strict_json.read(_request(b"{}", encoding="gzip"))
