"""What operators get to see: log lines and metrics of the service's real code, whatever befalls a payment."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from payments.delivery.sender import Sender
from payments.domain.outcomes import Outcome, Result
from payments.observability import logs
from payments.observability.metrics import Metrics
from payments.processors.base import Call
from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database
from payments.services import housekeeping, inbox, ledger_integrity, webhook_delivery
from payments.services.context import Context
from payments.worker.webhook_delivery import DeliveryPool
from tests.service.api import Client, recover_due
from tests.service.fixtures import ApiKey, Postgres
from tests.service.receivers import receiver
from tests.service.scripted import execute

ENVIRONMENT = "dev"


@dataclass
class Telemetry:
    """Lines by process, metric documents, and what the story was about."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    documents: list[dict[str, Any]] = field(default_factory=list)
    #: A payment whose outcome was unknown at first; the worker found it out, and webhooks reported it.
    payment_id: str = ""
    #: A creation that was declined at once.
    declined_id: str = ""
    #: The key of every request.
    key_id: str = ""
    #: A request that failed because of a bug.
    failed_request_id: str = ""


class _Broken(SandboxProcessor):
    """Raises on every call, like a bug."""

    def authorize(self, call: Call) -> Result:
        raise RuntimeError(f"planted, for {call.attempt_id}")

    def look_up(self, call: Call) -> Result:
        raise RuntimeError(f"planted, for {call.attempt_id}")


class _Refused(SandboxProcessor):
    """Does not know our key."""

    def authorize(self, call: Call) -> Result:
        return Result(outcome=Outcome.MISCONFIGURED, detail="401")

    def look_up(self, call: Call) -> Result:
        return self.authorize(call)


@contextmanager
def _logged(process: str, telemetry: Telemetry) -> Iterator[None]:
    """Keep every line that `process` would write to its log group."""
    buffer, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(buffer), root.level
    handler.setFormatter(logs.JsonFormatter(environment=ENVIRONMENT, process=process))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        telemetry.lines.setdefault(process, []).extend(buffer.getvalue().splitlines())


def collect(postgres: Postgres, database: Database, journal: Database, key: ApiKey) -> Telemetry:
    """Let payments, operations, webhooks and failures happen, and keep what was said about them."""
    telemetry = Telemetry(key_id=f"key_{key.token.split('_')[2]}")
    context = _context(database, SandboxProcessor(journal, public_base_url="https://localhost:8443"))
    client = Client(context, key)
    with receiver() as shop, receiver() as failing:
        failing.statuses = [500]
        with _logged("api", telemetry):
            for url in (shop.url, failing.url, "https://127.0.0.1:1/closed"):
                client.json(client.post("/v1/webhook_endpoints", {"url": url, "event_types": ["*"]}))
            _requests(client, telemetry)
            broken = _context(database, _Broken(journal, public_base_url="https://localhost:8443"))
            _request_that_fails(broken, key, telemetry)
            Client(_context(database, _Refused(journal, public_base_url="https://localhost:8443")), key).create()
        with _logged("worker", telemetry):
            _work(postgres, context, broken)
    context.metrics.flush(lambda line: telemetry.documents.append(json.loads(line)))
    return telemetry


def _context(database: Database, processor: SandboxProcessor) -> Context:
    return Context(
        database=database,
        processors={processor.name: processor},
        routes=dict.fromkeys((False, True), processor.name),
        allow_local_webhooks=True,
        metrics=Metrics(ENVIRONMENT),
    )


def _requests(client: Client, telemetry: Telemetry) -> None:
    client.json(client.create())
    telemetry.payment_id = client.json(client.create("tok_lost_approved"))["id"]
    telemetry.declined_id = client.create("tok_declined").get_json()["payment"]["id"]
    client.create("tok_3ds", return_url="https://shop.example/back")
    authorized = client.json(client.create(capture_method="manual"))["id"]
    client.json(client.post(f"/v1/payments/{authorized}/capture"))
    client.json(client.post(f"/v1/payments/{authorized}/refunds", {"amount": 1}))
    client.json(client.create(capture_method="manual", key="again"))
    client.json(client.create(capture_method="manual", key="again"))
    client.get("/v1/payments/4242424242424242")


def _request_that_fails(context: Context, key: ApiKey, telemetry: Telemetry) -> None:
    response = Client(context, key).create()
    assert response.status_code == 500
    telemetry.failed_request_id = response.headers["Request-Id"]


def _work(postgres: Postgres, context: Context, broken: Context) -> None:
    """A round of every loop of the worker, after an attempt that could not be looked up."""
    housekeeping.measure_backlog(context)
    for each in (broken, context):
        execute(postgres, "UPDATE attempts SET next_look_at = now() WHERE status = 'open'")
        recover_due(each)
    while ledger_integrity.seal(context):
        pass
    deliverer = DeliveryPool(context, Sender(allow_local=True, timeout=timedelta(seconds=5)))
    while webhook_delivery.fan_out(context):
        pass
    while deliverer.run():
        deliverer.wait_until_idle()
    deliverer.close()
    housekeeping.measure_webhook_backlog(context)
    inbox.measure_unmapped(context)
    housekeeping.measure_readers(context)
