"""An invalid request gets errors that say which field is wrong and what to send instead, without repeating values."""

import pytest

from payments.repositories.database import Database
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey

_VALID = {"amount": 1000, "currency": "EUR", "payment_method": "tok_visa"}
_INTEGER = "Must be an integer, without quotes, fraction or exponent."
_UNKNOWN = "Unknown field. Check the spelling or remove it."


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def _first_error(client: Client, path: str, body: object) -> tuple[str, str]:
    response = client.post(path, body)
    problem = response.get_json(force=True)
    assert (response.status_code, problem["code"]) == (422, "validation_failed"), problem
    first = problem["errors"][0]
    assert first["detail"] in problem["detail"]
    return first["pointer"], first["detail"]


@pytest.mark.parametrize(
    ("change", "pointer", "detail"),
    [
        pytest.param({"amount": "1000"}, "#/amount", _INTEGER, id="amount as a string"),
        pytest.param({"amount": 10.0}, "#/amount", _INTEGER, id="amount with a fraction"),
        pytest.param({"amount": 0}, "#/amount", "Must be at least 1.", id="no amount"),
        pytest.param({"amount": 10**12}, "#/amount", "Must be at most 999999999999.", id="huge amount"),
        pytest.param({"currency": "eur"}, "#/currency", "Must be the ISO 4217 code of", id="lower-case currency"),
        pytest.param({"currency": "XXX"}, "#/currency", "Must be the ISO 4217 code of", id="XXX"),
        pytest.param(
            {"payment_method": ""}, "#/payment_method", "Too short: the minimum length is 1.", id="empty string"
        ),
        pytest.param(
            {"payment_method": "x" * 256}, "#/payment_method", "Too long: the maximum length is 255.", id="long string"
        ),
        pytest.param({"payment_method": 1}, "#/payment_method", "Must be a string.", id="number as a string"),
        pytest.param(
            {"capture_method": "later"}, "#/capture_method", "Must be 'automatic' or 'manual'.", id="unknown choice"
        ),
        pytest.param({"metadata": []}, "#/metadata", "Must be an object.", id="array as an object"),
        pytest.param(
            {"metadata": {str(number): "" for number in range(51)}},
            "#/metadata",
            "Too many items: the maximum is 50.",
            id="too many pairs",
        ),
        pytest.param({"metadata": {"a/b": 1}}, "#/metadata/a~1b", "Must be a string.", id="escaped pointer"),
        pytest.param(
            {"metadata": {"k" * 41: ""}},
            f"#/metadata/{'k' * 41}",
            "Field name is too long: the maximum length is 40.",
            id="long field name",
        ),
        pytest.param({"amonut": 1}, "#/amonut", _UNKNOWN, id="misspelled field"),
        pytest.param({"return_url": "http://shop.example/"}, "#/return_url", "Must be an https:// URL", id="http URL"),
        pytest.param(
            {"return_url": f"https://a/{'a' * 2039}"}, "#/return_url", "Too long: the maximum length", id="long URL"
        ),
    ],
)
def test_a_payment(client: Client, change: dict[str, object], pointer: str, detail: str) -> None:
    error = _first_error(client, "/v1/payments", {**_VALID, **change})
    assert error[0] == pointer
    assert error[1].startswith(detail)


def test_all_missing_fields_are_listed(client: Client) -> None:
    problem = client.post("/v1/payments", {}).get_json(force=True)
    assert problem["detail"] == "#/amount: This field is required. See errors for 2 more."
    assert [error["pointer"] for error in problem["errors"]] == ["#/amount", "#/currency", "#/payment_method"]


def test_other_bodies(client: Client) -> None:
    payment = client.json(client.create(capture_method="manual"))["id"]

    def detail(path: str, body: object) -> str:
        return _first_error(client, path, body)[1]

    assert detail(f"/v1/payments/{payment}/capture", {"final": "no"}) == "Must be true or false, without quotes."
    assert detail(f"/v1/payments/{payment}/void", []) == "The body must be a JSON object."
    key = {"name": "n", "scopes": ["nope"]}
    assert detail("/v1/api_keys", key).startswith("Must be one of: payments:read, ")
    assert detail("/v1/api_keys", {**key, "scopes": []}) == "Too few items: the minimum is 1."
    assert detail("/v1/api_keys", {**key, "scopes": "all"}) == "Must be an array."
    expired = {"name": "n", "scopes": ["payments:read"], "expires_at": 1}
    assert detail("/v1/api_keys", expired) == "Must be a time in the future, in Unix seconds."
    hook = {"url": "https://shop.example/", "event_types": ["nope"]}
    assert detail("/v1/webhook_endpoints", hook).startswith("Must be an event type")


@pytest.mark.parametrize(
    ("parameter", "value", "detail"),
    [
        ("limit", "0", "Must be at least 1."),
        ("limit", "101", "Must be at most 100."),
        ("limit", "5_0", "Must be an integer in decimal digits"),
        ("created_gte", "-1", "Must be an integer in decimal digits"),
        ("created_lt", "yesterday", "Must be an integer in decimal digits"),
        ("status", "paid", "Must be 'processing', "),
        ("refernce", "1", "Unknown parameter. Check the spelling or remove it."),
        ("cursor", "x", "Not a cursor of this list."),
    ],
)
def test_a_query(client: Client, parameter: str, value: str, detail: str) -> None:
    problem = client.get("/v1/payments", **{parameter: value}).get_json(force=True)
    assert problem["errors"][0]["pointer"] == parameter, "a parameter has no JSON pointer"
    assert problem["errors"][0]["detail"].startswith(detail)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "https://shop.example:8443/thanks?order=1&x=%C3%A9#end",
        "https://192.0.2.1/(a);b=c",
        "https://xn--bcher-kva.example?x",
    ],
)
def test_return_urls_are_accepted(client: Client, url: str) -> None:
    assert client.json(client.create(return_url=url))["return_url"] == url


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///thanks",
        "https://[::1",
        "https://user:password@shop.example/",
        "https://shop.example;sandbox/",
        'https://shop.example/"',
        "https://shop.example/ü",
        "https://shop.example/\n",
        "https://shop.example\\@evil.example/",
        "javascript:alert(1)",
    ],
)
def test_unsafe_return_urls_are_rejected(client: Client, url: str) -> None:
    assert client.create(return_url=url).status_code == 422
