"""The application gets requests as PEP 3333 has them, and whatever it does there is a response."""

import json
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

import pytest

from payments.server.messages import Request, Response, encode
from payments.server.wsgi import respond

StartResponse = Callable[..., object]


def request(**fields: Any) -> Request:
    values: dict[str, Any] = {
        "method": "POST",
        "path": "/",
        "query": "",
        "headers": (),
        "body": b"",
        "keep_alive": True,
    }
    return Request(**(values | fields))


def test_the_environment() -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        seen.update(environ)
        start_response("201 Created", [("X-A", "b")])
        return [environ["wsgi.input"].read(), b"!"]

    headers = (
        ("host", "x"),
        ("content-type", "a/b"),
        ("transfer-encoding", "chunked"),
        ("x-a", "1"),
        ("x-a", "2"),
        ("idempotency_key", "not a field of ours"),
    )
    response = respond(app, request(path="/\xc3\xa4", query="c=d", headers=headers, body=b"ab"), "192.0.2.1", 8443)
    assert response == Response(status=HTTPStatus.CREATED, headers=[("X-A", "b")], body=b"ab!")
    assert (seen["PATH_INFO"], seen["QUERY_STRING"], seen["REMOTE_ADDR"]) == ("/\xc3\xa4", "c=d", "192.0.2.1")
    assert (seen["CONTENT_LENGTH"], seen["CONTENT_TYPE"]) == ("2", "a/b")
    assert {name: value for name, value in seen.items() if name.startswith("HTTP_")} == {
        "HTTP_HOST": "x",
        "HTTP_X_A": "1,2",
    }


def test_a_failure_of_the_application_is_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    def app(_: dict[str, Any], __: StartResponse) -> Iterable[bytes]:
        raise RuntimeError("secret")

    response = respond(app, request(), "192.0.2.1", 8443)
    body = json.loads(response.body)
    assert (response.status, body["status"], body["code"]) == (500, 500, "internal_error")
    assert b"secret" not in response.body
    assert vars(caplog.records[0])["request_id"] == body["request_id"]


def test_responses_are_closed() -> None:
    closed: list[bool] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a", b"b"])

        def close(self) -> None:
            closed.append(True)

    def app(_: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Body()

    assert respond(app, request(), "192.0.2.1", 8443).body == b"ab"
    assert closed == [True]


def test_the_encoding_of_responses() -> None:
    response = Response(
        status=HTTPStatus.OK, headers=[("X-A", "b"), ("Connection", "x"), ("Transfer-Encoding", "chunked")], body=b"ab"
    )
    head, _, body = encode(response, method="GET", keep_alive=True).partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    assert line == b"HTTP/1.1 200 OK"
    assert sorted(field.partition(b":")[0] for field in fields) == [b"Connection", b"Content-Length", b"Date", b"X-A"]
    assert (b"Content-Length: 2" in fields, b"Connection: keep-alive" in fields, body) == (True, True, b"ab")
    assert encode(response, method="HEAD", keep_alive=False).endswith(b"Connection: close\r\n\r\n")


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\0"])
def test_a_header_cannot_break_the_framing(value: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        encode(Response(status=HTTPStatus.OK, headers=[("X-A", value)]), method="GET", keep_alive=True)
