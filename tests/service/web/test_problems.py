"""Every error is an RFC 9457 problem with a request ID, and none reveals internals."""

import logging
from typing import Any

import pytest
from flask import Flask, Response, request
from flask.testing import FlaskClient

from payments.core.problems import IllegalTransition, RequestInProgress, TooManyRequests, Unauthenticated, all_errors
from payments.web.http import headers, problems, strict_json


@pytest.fixture
def client() -> FlaskClient:
    app = Flask("payments-test", static_folder=None)
    problems.register(app)
    headers.register(app)

    @app.post("/json")
    def read() -> dict[str, object]:
        return {"value": strict_json.read(request)}

    @app.get("/crash")
    def crash() -> Response:
        raise RuntimeError("password=hunter2")

    @app.get("/conflict")
    def conflict() -> Response:
        raise IllegalTransition("The payment is succeeded.", state="succeeded", allowed=["refund"])

    @app.get("/busy")
    def busy() -> Response:
        raise RequestInProgress("Wait.", retry_after=7)

    @app.get("/teapot/<int:status>")
    def teapot(status: int) -> Response:
        from werkzeug.exceptions import abort

        abort(status)

    return app.test_client()


_CASES: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/nowhere", {}, 404, "not_found"),
    ("GET", "/json", {}, 405, "method_not_allowed"),
    ("POST", "/json", {"data": b"{}", "content_type": "text/plain"}, 415, "unsupported_media_type"),
    ("POST", "/json", {"data": b"{}"}, 415, "unsupported_media_type"),
    ("POST", "/json", {"data": b" " * 65537, "content_type": "application/json"}, 413, "content_too_large"),
    ("POST", "/json", {"data": b"{", "content_type": "application/json"}, 400, "malformed_request"),
    ("GET", "/crash", {}, 500, "internal_error"),
    ("GET", "/conflict", {}, 409, "illegal_transition"),
    ("GET", "/busy", {}, 409, "request_in_progress"),
    ("GET", "/teapot/400", {}, 400, "malformed_request"),
    ("GET", "/teapot/406", {}, 406, "malformed_request"),
    ("GET", "/teapot/431", {}, 431, "malformed_request"),
    ("GET", "/teapot/501", {}, 500, "internal_error"),
    ("GET", "/teapot/503", {}, 503, "service_unavailable"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "kwargs", "status", "code"), _CASES, ids=[f"{case[1]} {case[3]}" for case in _CASES]
)
def test_an_error_is_a_problem_with_the_request_id(
    client: FlaskClient, method: str, path: str, kwargs: dict[str, Any], status: int, code: str
) -> None:
    response = client.open(path, method=method, **kwargs)
    problem = response.get_json(force=True)
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["request_id"] == response.headers["Request-Id"]
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"]


def test_an_unexpected_error_is_logged_and_leaks_nothing(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "payments.web"):
        response = client.get("/crash")
    assert b"hunter2" not in response.data
    assert b"RuntimeError" not in response.data
    record = caplog.records[0]
    assert vars(record)["request_id"] == response.headers["Request-Id"]
    assert record.exc_info is not None


def test_method_not_allowed_lists_what_is_allowed(client: FlaskClient) -> None:
    assert "POST" in client.get("/json").headers["Allow"]


def test_a_conflict_names_the_state_and_what_it_allows(client: FlaskClient) -> None:
    problem = client.get("/conflict").get_json(force=True)
    assert (problem["state"], problem["allowed"]) == ("succeeded", ["refund"])


def test_a_request_in_progress_has_retry_after(client: FlaskClient) -> None:
    assert client.get("/busy").headers["Retry-After"] == "7"


@pytest.mark.parametrize("path", ["/nowhere", "/crash", "/conflict"])
def test_errors_have_the_security_headers(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.headers["Strict-Transport-Security"].startswith("max-age=63072000")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Server"] == "payments"


def test_request_ids_are_unique(client: FlaskClient) -> None:
    assert client.get("/busy").headers["Request-Id"] != client.get("/busy").headers["Request-Id"]


def test_codes_are_unique_and_every_problem_is_documented() -> None:
    errors = list(all_errors())
    assert len({error.code for error in errors}) == len(errors)
    assert all(error.__doc__ and error.title and 400 <= error.status <= 599 for error in errors)


def test_401_says_how_to_authenticate() -> None:
    assert Unauthenticated("No.").headers["WWW-Authenticate"].startswith("Bearer")


def test_too_many_requests_has_retry_after(client: FlaskClient) -> None:
    assert TooManyRequests("Wait.", retry_after=3).headers == {"Retry-After": "3"}
    assert client.get("/teapot/429").get_json(force=True)["code"] == "too_many_requests"


def test_outside_a_request_there_is_no_id() -> None:
    assert problems.current_request_id() == "none"
