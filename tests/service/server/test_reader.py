"""Requests are read the same however they are cut into segments, and nothing that arrives is an error of ours."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.server.messages import Refusal, Request
from payments.server.reader import MAX_BODY_BYTES, MAX_FIELDS, MAX_HEAD, MAX_PIPELINED, RequestReader, Stage
from payments.server.target import InvalidTargetError, Target, is_host, parse_target
from tests.proof.http_shapes import SHAPES

_SMALL = [shape for shape in SHAPES if len(shape.data) < 2000]


def read(*segments: bytes) -> list[Request | Refusal]:
    reader = RequestReader()
    for segment in segments:
        reader.feed(segment)
    return list(reader.complete)


@given(st.sampled_from(_SMALL), st.sampled_from(_SMALL), st.data())
def test_segments_do_not_matter(first: object, second: object, data: st.DataObject) -> None:
    whole = first.data + second.data  # type: ignore[attr-defined]  # shapes
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
    segments = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    expected, found = read(whole), read(*segments)
    if any(isinstance(one, Refusal) and one.status == HTTPStatus.NOT_IMPLEMENTED for one in expected):
        assert len(found) == len(expected)  # a method that is not known may be refused as no method
    else:
        assert found == expected


@given(st.lists(st.binary(max_size=200)))
def test_noise_is_refused_or_waits(segments: list[bytes]) -> None:
    assert all(isinstance(one, Refusal) for one in read(*segments))


@given(st.sampled_from(_SMALL), st.data())
def test_changed_requests_are_never_our_error(shape: object, data: st.DataObject) -> None:
    changed = bytearray(shape.data)  # type: ignore[attr-defined]  # a shape
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    for one in read(bytes(changed)):
        assert isinstance(one, Request) or one.status < 500 or one.status in (501, 505)


def test_what_is_read_is_what_was_sent() -> None:
    (request,) = read(
        b"POST /a%20b?c=%20d HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A:  2 \r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2;e=f\r\nab\r\n1\r\nc\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    assert request == Request(
        method="POST",
        path="/a b",
        query="c=%20d",
        headers=(("host", "x"), ("x-a", "1"), ("x-a", "2"), ("transfer-encoding", "chunked")),
        body=b"abc",
        keep_alive=True,
    )


def test_the_host_of_an_absolute_target_counts() -> None:
    (request,) = read(b"GET https://one.example/ HTTP/1.1\r\nHost: two.example\r\n\r\n")
    assert isinstance(request, Request)
    assert request.headers == (("host", "one.example"),)


def test_nothing_is_read_after_the_last_request() -> None:
    ask = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert len(read(ask.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + ask, ask)) == 1
    assert len(read(ask.replace(b"1.1", b"1.0") + ask)) == 1
    assert len(read(ask * 100)) == MAX_PIPELINED + 1


def test_memory_is_bounded_before_a_request_is_complete() -> None:
    """Each of these goes on for ever; the reader ends it soon after its limit."""
    host = b"GET / HTTP/1.1\r\nHost: x\r\n"
    chunked = host.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n"
    endless = {
        b"GET /": (b"a", 414),
        host + b"A: ": (b"a", 431),
        host: (b"A: b\r\n", 431),
        b"": (b"\r\n", 431),
        chunked + b"1;": (b"a", 413),
        chunked: (b"1\r\na\r\n", 413),
        chunked + b"0\r\n": (b"A: b\r\n", 413),
    }
    for begun, (repeated, status) in endless.items():
        reader, sent = RequestReader(), 0
        reader.feed(begun)
        while not reader.complete:
            reader.feed(repeated * 100)
            sent += 100 * len(repeated)
            assert sent < 8 * MAX_BODY_BYTES
        (refused,) = reader.complete
        assert isinstance(refused, Refusal)
        assert refused.status == status


@pytest.mark.parametrize(("fields", "is_read"), [(MAX_FIELDS - 1, True), (MAX_FIELDS, False)])
def test_the_limit_of_fields_is_what_the_refusal_says(fields: int, is_read: bool) -> None:
    (found,) = read(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * fields + b"\r\n")
    assert isinstance(found, Request) is is_read


def test_the_limit_of_the_head_counts_names_and_values() -> None:
    fields = [b"A: " + b"a" * 8000 + b"\r\n"] * (MAX_HEAD // 8000)
    assert isinstance(read(b"GET / HTTP/1.1\r\nHost: x\r\n", *fields, b"\r\n")[0], Request)
    assert isinstance(read(b"GET / HTTP/1.1\r\nHost: x\r\n", *fields, *fields[:1], b"\r\n")[0], Refusal)


def test_stages() -> None:
    """They decide which deadline counts."""
    reader = RequestReader()
    stages = [reader.stage]
    for part in (b"G", b"ET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n", b"\r\n", b"a", b"b", b"G"):
        reader.feed(part)
        stages.append(reader.stage)
    assert stages == [Stage.NOTHING, Stage.HEAD, Stage.HEAD, Stage.BODY, Stage.BODY, Stage.NOTHING, Stage.HEAD]


_PIECES = [b"a", b"/", b".", b"..", b"%2F", b"%2e", b"%5c", b"%c0%af", b"%25", b"%C3%A4", b";", b"?", b"%", b"\\"]


@given(st.lists(st.sampled_from(_PIECES), max_size=6).map(b"".join))
def test_a_path_has_the_structure_that_it_shows(raw: bytes) -> None:
    """Whoever splits the raw path at its slashes gets the segments that are matched, one by one."""
    try:
        target = parse_target("GET", b"/" + raw)
    except InvalidTargetError:
        return
    shown = (b"/" + raw).partition(b"?")[0].split(b"/")
    assert len(shown) == len(target.path.split("/"))
    assert not {".", ".."} & set(target.path.split("/"))
    target.path.encode("latin-1").decode()


def test_targets() -> None:
    assert parse_target("GET", b"/%C3%A4?b=%2F&c") == Target(path="/\xc3\xa4", query="b=%2F&c")
    assert parse_target("GET", b"http://a:1?b") == Target(path="/", query="b", host="a:1")
    assert parse_target("OPTIONS", b"*") == Target(path="*", query="")


@pytest.mark.parametrize("host", [b"a", b"a.example:443", b"127.0.0.1:65535", b"[::1]", b"[::ffff:1.2.3.4]:80", b"a_b"])
def test_hosts(host: bytes) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host", [b"", b":80", b"a:", b"a:b", b"a:65536", b"[::1", b"::1", b"a/b", b"a@b", b"a,b", b"-a"]
)
def test_what_is_no_host(host: bytes) -> None:
    assert not is_host(host)
