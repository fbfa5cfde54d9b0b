"""Bodies are read strictly: no duplicates, no surprises, bounded in size, depth and digits."""

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


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


@given(_VALUES, st.booleans())
def test_what_is_json_is_read_as_sent(value: Any, escaped: bool) -> None:
    body = json.dumps(value, ensure_ascii=escaped).encode()
    if _depth(value) <= strict_json.MAX_DEPTH:
        assert strict_json.parse(body) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_either_json_or_a_problem(body: Any) -> None:
    with contextlib.suppress(MalformedRequest):
        strict_json.parse(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1, "a": 2}', "same name"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "same name"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b'{"a": "\\udfff\\ud800"}', "surrogate"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"[" * 9 + b"]" * 9, "nested"),
        (b'{"a":' * 30000, "nested"),
        (b'{"a": ' + b"9" * 33 + b"}", "digits"),
        ("\ufeff{}".encode(), "byte order mark"),
    ],
)
def test_what_parsers_read_differently_is_refused(body: Any, said: str) -> None:
    with pytest.raises(MalformedRequest, match=said) as raised:
        strict_json.parse(body)
    assert "9999" not in raised.value.detail


def test_brackets_in_strings_are_not_depth() -> None:
    assert strict_json.parse(b'{"a": "[[[[[[[[[[[[\\"[[[[["}') == {"a": '[[[[[[[[[[[["[[[[['}


def test_a_surrogate_pair_is_a_character() -> None:
    assert strict_json.parse(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("body", [b'"' + b'\\"' * 32000, b"[" + b"1," * 32000, b'{"a":"' + b"\\" * 65000, b'"' * 65000])
def test_the_worst_body_is_read_fast(body: Any) -> None:
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


def test_a_body_without_a_declared_length_is_bounded_too() -> None:
    with pytest.raises(ContentTooLarge):
        strict_json.read(_request(b'"' + b"a" * 70000 + b'"'))
    assert strict_json.read(_request(b'{"a": 1}')) == {"a": 1}


def test_a_declared_length_above_the_limit_is_refused_unread() -> None:
    with pytest.raises(ContentTooLarge):
        strict_json.read(_request(b"", length=65537))


def test_the_limit_itself_is_accepted() -> None:
    body = b'"' + b"a" * (65536 - 2) + b'"'
    assert len(strict_json.read(_request(body, length=len(body)))) == 65534


@pytest.mark.parametrize("media", ["text/plain", "application/json; charset=latin-1", "multipart/form-data"])
def test_only_json_in_utf8_is_read(media: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        strict_json.read(_request(b"{}", media=media))


def test_a_compressed_body_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedMediaType):
        strict_json.read(_request(b"{}", encoding="gzip"))
