"""The API returns what its OpenAPI document says: status, media type, headers and every field."""

import json
import re
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # no stubs are locked
import pytest
from werkzeug.test import TestResponse

from payments.processors.sandbox_tokens import TOKENS
from payments.repositories.database import Database
from payments.web.app import create_app
from payments.web.openapi.examples import resolve
from tests.service.api import SETTINGS, Client, sandbox_context
from tests.service.fixtures import ApiKey, Postgres, make_key

#: Headers of every response, which the document does not list.
_ALWAYS = frozenset({"Content-Type", "Content-Length", "Server-Timing", "Server", "Cache-Control", "Request-Id"})
_SECURITY = frozenset({"Strict-Transport-Security", "X-Content-Type-Options", "Content-Security-Policy"})
_PLAIN = _ALWAYS | _SECURITY | {"Referrer-Policy", "Cross-Origin-Resource-Policy", "WWW-Authenticate", "Allow"}


@cache
def _document() -> dict[str, Any]:
    """The document, made once: it is the same for every app."""
    nothing: Any = None  # a document needs no database
    document: dict[str, Any] = json.loads(json.dumps(create_app(sandbox_context(nothing, nothing), SETTINGS).api_doc))
    return document


class Documented(Client):
    """A client that checks every response against the document."""

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        sent = {**self.key.headers, "Idempotency-Key": uuid.uuid4().hex, **headers}
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        response = self.http().open(
            path, method=method, data=data, headers={"Content-Type": "application/json", **sent}
        )
        self.check(method, path, response)
        return response.get_json(force=True)

    def check(self, method: str, path: str, response: TestResponse) -> None:
        document = _document()
        pattern, template = next(
            (re.sub(r"\{\w+\}", "[^/]+", found), found)
            for found in document["paths"]
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", found), path.partition("?")[0])
        )
        documented = document["paths"][template][method.lower()]["responses"]
        assert str(response.status_code) in documented, f"{method} {pattern}: {response.status_code} {response.text}"
        promised = documented[str(response.status_code)]
        assert response.mimetype in promised["content"], response.mimetype
        schema = promised["content"][response.mimetype]["schema"]
        value = json.loads(response.text)
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)
        assert not set(value) - set(resolve(document, schema)["properties"]), "undocumented fields"
        assert not set(response.headers.keys()) - _PLAIN - set(promised.get("headers", {}))


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Documented:
    return Documented(sandbox_context(database, journal), key)


def _body(token: str = "tok_visa", **fields: object) -> dict[str, Any]:
    return {"amount": 1000, "currency": "EUR", "payment_method": token, **fields}


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("method", ["automatic", "manual"])
def test_payments_and_operations(client: Documented, token: str, method: str) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    body = _body(token, capture_method=method, reference="r", description="d", metadata={"a": "b"})
    made = client.call("POST", "/v1/payments", body, **headers)
    client.call("POST", "/v1/payments", body, **headers)
    payment = made.get("payment", made)["id"]
    for operation in ("capture", "refunds", "refunds", "void"):
        done = client.call(
            "POST", f"/v1/payments/{payment}/{operation}", {"amount": 600} if operation != "void" else {}
        )
        if done.get("object") == "refund":
            client.call("GET", f"/v1/refunds/{done['id']}")
    for path in ("", "/refunds", "/events"):
        client.call("GET", f"/v1/payments/{payment}{path}")
    for path in ("payments", "events", "ledger/entries", "balances"):
        client.call("GET", f"/v1/{path}")


def test_keys_and_webhooks(client: Documented) -> None:
    key = client.call("POST", "/v1/api_keys", {"name": "n", "scopes": ["payments:read"]})["id"]
    client.call("POST", f"/v1/api_keys/{key}/rotate", {})
    client.call("POST", f"/v1/api_keys/{key}/rotate", {})
    client.call("POST", f"/v1/api_keys/{key}/revoke", {})
    client.call("GET", "/v1/api_keys")
    hook = client.call("POST", "/v1/webhook_endpoints", {"url": "https://shop.example/"})["id"]
    client.call("GET", "/v1/webhook_endpoints")
    client.call("PATCH", f"/v1/webhook_endpoints/{hook}", {"status": "disabled"})
    client.call("POST", f"/v1/webhook_endpoints/{hook}/rotate_secret", {})
    client.call("GET", f"/v1/webhook_endpoints/{hook}/deliveries")
    payment = client.call("POST", "/v1/payments", _body())["id"]
    event = client.call("GET", f"/v1/payments/{payment}/events")["data"][0]["id"]
    client.call("GET", f"/v1/events/{event}")
    client.call("POST", f"/v1/events/{event}/redeliver", {})
    client.call("DELETE", f"/v1/webhook_endpoints/{hook}")


def test_errors(client: Documented, postgres: Postgres) -> None:
    create = ("POST", "/v1/payments")
    client.call(*create, b"{")
    client.call(*create, _body(reference="4242424242424242"))
    client.call(*create, _body(), Authorization="")
    client.call(*create, _body(), **{"Idempotency-Key": ""})
    client.call(*create, b" " * 65_537)
    client.call(*create, _body(), **{"Content-Type": "text/plain"})
    client.call(*create, {})
    client.call("GET", "/v1/payments?limit=0")
    client.call("GET", "/v1/payments?limit=1&limit=1")
    client.call("GET", f"/v1/payments/pay_{'0' * 26}")
    client.key = make_key(postgres, client.key.merchant_id, scopes=frozenset())
    client.call(*create, _body())


def test_load_shedding(database: Database, journal: Database, key: ApiKey) -> None:
    full = Documented(sandbox_context(database, journal), key, SETTINGS.model_copy(update={"max_in_flight": 1}))
    requests = (("POST", "/v1/payments"), ("GET", "/v1/payments"), ("GET", "/v1/balances"))
    with full.app.test_request_context("/v1/payments", headers=key.headers), ThreadPoolExecutor(1) as elsewhere:
        full.app.preprocess_request()  # a request that has not ended
        for response in elsewhere.map(lambda request: full.call(*request), requests):
            assert response["code"] == "too_many_requests"


def test_first_requests_at_once_get_the_whole_document(database: Database, journal: Database) -> None:
    app = create_app(sandbox_context(database, journal), SETTINGS)
    begin = threading.Barrier(8)

    def get(_: int) -> bytes:
        begin.wait()
        return bytes(app.test_client().get("/openapi.json").data)

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(get, range(8)))
    assert found == {app.test_client().get("/openapi.json").data}
