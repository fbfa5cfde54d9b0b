"""A client of the API for tests, and contexts to run it with."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from payments.core.settings import Settings
from payments.processors.base import Processor
from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database
from payments.services.context import Context
from payments.web.app import create_app
from payments.worker.recovery import RecoveryPool
from tests.service.fixtures import ApiKey

#: Live keys are accepted; the processor is the context's.
SETTINGS = Settings(
    allow_live_keys=True, processor="stripe", stripe_api_key="sk_live_x", stripe_webhook_secret="whsec_x"
)

#: URL builders by rule: compiling them again for each test's app was four fifths of what making an app cost.
_BUILDERS: dict[tuple[str, bool], Callable[..., tuple[str, str]]] = {}
_compile_builder = Rule._compile_builder


def _compiled_once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    key = (rule.rule, append_unknown)
    if key not in _BUILDERS:
        _BUILDERS[key] = _compile_builder(rule, append_unknown)
    return _BUILDERS[key]


Rule._compile_builder = _compiled_once  # type: ignore[assignment]


def sandbox_context(database: Database, journal: Database) -> Context:
    """Return a context whose processor is the sandbox, on connections of its own."""
    sandbox = SandboxProcessor(journal, public_base_url="https://localhost:8443")
    return context_with(database, sandbox)


def context_with(database: Database, processor: Processor) -> Context:
    return Context(
        database=database, processors={processor.name: processor}, routes=dict.fromkeys((False, True), processor.name)
    )


def recover_due(context: Context) -> bool:
    """Run one round of the worker's recovery to its end; returns whether anything was due."""
    pools = [RecoveryPool(context, processor) for processor in context.processors]
    due = [pool.run() for pool in pools]
    for pool in pools:
        pool.close()
    return any(due)


def start_3ds(client: "Client", **fields: Any) -> tuple[str, str]:
    """Create a payment that waits for its customer; returns its id and the path of the page."""
    payment = client.json(client.create("tok_3ds", **fields))
    assert payment["next_action"]["type"] == "redirect_to_url"
    url: str = payment["next_action"]["redirect_to_url"]["url"]
    assert url.startswith("https://localhost:8443/v1/sandbox/3ds/")
    return payment["id"], url.removeprefix("https://localhost:8443")


class Client:
    """A client of the API with one key."""

    def __init__(self, context: Context, key: ApiKey, settings: Settings = SETTINGS) -> None:
        self.app = create_app(context, settings)
        self.context = context
        self.key = key

    def http(self) -> FlaskClient:
        return self.app.test_client()

    def get(self, path: str, **query: Any) -> TestResponse:
        return self.http().get(path, query_string=query, headers=self.key.headers)

    def post(self, path: str, body: object = None, *, key: str | None = None) -> TestResponse:
        headers = {**self.key.headers, "Idempotency-Key": key or uuid.uuid4().hex}
        data = json.dumps({} if body is None else body)
        return self.http().post(path, data=data, headers=headers, content_type="application/json")

    def create(
        self, token: str = "tok_visa", amount: int = 1000, *, key: str | None = None, **fields: Any
    ) -> TestResponse:
        body = {"amount": amount, "currency": "EUR", "payment_method": token, **fields}
        return self.post("/v1/payments", body, key=key)

    def payment(self, payment_id: str) -> dict[str, Any]:
        return self.json(self.get(f"/v1/payments/{payment_id}"))

    def event_types(self, payment_id: str) -> list[str]:
        """Return the types of a payment's events, oldest first."""
        data = self.json(self.get(f"/v1/payments/{payment_id}/events", limit=100))["data"]
        return [event["type"] for event in reversed(data)]

    def entries(self, payment_id: str) -> list[tuple[str, str, int]]:
        """Return the transfers of a payment as (debit, credit, amount), oldest first."""
        data = self.json(self.get("/v1/ledger/entries", payment=payment_id, limit=100))["data"]
        return [(entry["debit_account"], entry["credit_account"], entry["amount"]) for entry in reversed(data)]

    def balances(self) -> dict[str, int]:
        """Return the balances by account; tests use one currency."""
        return {item["account"]: item["balance"] for item in self.json(self.get("/v1/balances"))["data"]}

    @staticmethod
    def json(response: TestResponse) -> dict[str, Any]:
        assert response.status_code < 300, response.text
        return dict(response.get_json())
