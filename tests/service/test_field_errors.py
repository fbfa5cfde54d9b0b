"""A request that is not valid is told what to send instead, where, and without the values that it held."""

import json
from typing import Any

import pytest

from payments.repositories.database import Database
from tests.service.api import Client, sandbox_context
from tests.service.conftest import ApiKey

_VALID = {"amount": 1000, "currency": "EUR", "payment_method": "tok_visa"}
_WHOLE_NUMBER = "Send a whole number, without quotes, fraction or exponent."


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def _told(client: Client, path: str, body: Any) -> tuple[str, str]:
    answer = client.post(path, body)
    problem = answer.get_json(force=True)
    assert (answer.status_code, problem["code"]) == (422, "validation_failed"), problem
    first = problem["errors"][0]
    assert first["detail"] in problem["detail"]
    return first["pointer"], first["detail"]


@pytest.mark.parametrize(
    ("change", "pointer", "detail"),
    [
        ({"amount": "1000"}, "#/amount", _WHOLE_NUMBER),
        ({"amount": 10.0}, "#/amount", _WHOLE_NUMBER),
        ({"amount": 0}, "#/amount", "Too small: send 1 or more."),
        ({"amount": 10**12}, "#/amount", "Too large: send 999999999999 or less."),
        ({"currency": "eur"}, "#/currency", "Send the ISO 4217 code of money that can be paid with, in upper case"),
        ({"currency": "XXX"}, "#/currency", "Send the ISO 4217 code"),
        ({"payment_method": ""}, "#/payment_method", "Too short: send 1 or more characters."),
        ({"payment_method": "x" * 256}, "#/payment_method", "Too long: send 255 or fewer characters."),
        ({"payment_method": 1}, "#/payment_method", "Send a string."),
        ({"capture_method": "later"}, "#/capture_method", "Send one of: 'automatic' or 'manual'."),
        ({"metadata": []}, "#/metadata", "Send an object."),
        ({"metadata": {str(number): "" for number in range(51)}}, "#/metadata", "Too many: send 50 or fewer."),
        ({"metadata": {"a/b": 1}}, "#/metadata/a~1b", "Send a string."),
        ({"metadata": {"k" * 41: ""}}, f"#/metadata/{'k' * 41}", "Its name: Too long: send 40 or fewer characters."),
        ({"amonut": 1}, "#/amonut", "There is no such thing here. Check the spelling, or leave it out."),
        ({"return_url": "http://shop.example/"}, "#/return_url", "Send an https:// URL"),
        ({"return_url": f"https://a/{'a' * 2039}"}, "#/return_url", "Too long: send 2048 or fewer characters."),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_a_payment(client: Client, change: dict[str, Any], pointer: str, detail: str) -> None:
    told = _told(client, "/v1/payments", {**_VALID, **change})
    assert told[0] == pointer
    assert told[1].startswith(detail)


def test_what_is_missing_is_told_whole(client: Client) -> None:
    problem = client.post("/v1/payments", {}).get_json(force=True)
    assert problem["detail"] == "#/amount: This is required. See errors for 2 more."
    assert [error["pointer"] for error in problem["errors"]] == ["#/amount", "#/currency", "#/payment_method"]


def test_other_bodies(client: Client) -> None:
    payment = client.json(client.create(capture_method="manual"))["id"]
    assert _told(client, f"/v1/payments/{payment}/capture", {"final": "no"})[1] == "Send true or false, without quotes."
    key = {"name": "n", "scopes": ["nope"]}
    assert _told(client, "/v1/api_keys", key)[1].startswith("Send one of: payments:read, ")
    assert _told(client, "/v1/api_keys", {**key, "scopes": []})[1] == "Too few: send 1 or more."
    assert _told(client, "/v1/api_keys", {**key, "scopes": "all"})[1] == "Send an array."
    expired = {"name": "n", "scopes": ["payments:read"], "expires_at": 1}
    assert _told(client, "/v1/api_keys", expired)[1] == "Send a time to come, in seconds since 1970."
    hook = {"url": "https://shop.example/", "event_types": ["nope"]}
    assert _told(client, "/v1/webhook_endpoints", hook)[1].startswith("Send an event type")
    assert _told(client, f"/v1/payments/{payment}/void", [])[1] == "Send a JSON object as the body."


@pytest.mark.parametrize(
    ("query", "pointer", "detail"),
    [
        ({"limit": "0"}, "limit", "Too small: send 1 or more."),
        ({"limit": "101"}, "limit", "Too large: send 100 or less."),
        ({"limit": "5_0"}, "limit", "Send a whole number in decimal digits"),
        ({"status": "paid"}, "status", "Send one of: 'processing', "),
        ({"refernce": "1"}, "refernce", "There is no such thing here."),
        ({"cursor": "x"}, "cursor", "The cursor is not one of this list."),
    ],
    ids=str,
)
def test_a_query(client: Client, query: dict[str, str], pointer: str, detail: str) -> None:
    problem = client.get("/v1/payments", **query).get_json(force=True)
    assert problem["errors"][0]["pointer"] == pointer, "a parameter is named, as it has no JSON pointer"
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
def test_a_return_url_that_a_browser_can_be_sent_to(client: Client, url: str) -> None:
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
def test_a_return_url_that_would_break_the_page_or_its_policy_is_refused(client: Client, url: str) -> None:
    assert client.create(return_url=url).status_code == 422
