"""A COMMIT without an answer is told as unknown, never as "nothing was started"; the same again is done once.

Between service and PostgreSQL stands a proxy that cuts the connection at a COMMIT: before the server gets it, or after
the server has carried it out. The service cannot tell the two apart.
"""

import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from werkzeug.test import TestResponse

from payments.domain.outcomes import Outcome, Result
from payments.repositories import payment_creation
from payments.repositories.database import Database
from payments.services import ledger_integrity
from tests.service.api import Client, context_with, recover_due, sandbox_context, start_3ds
from tests.service.fixtures import ApiKey, Postgres
from tests.service.grouping import together
from tests.service.lossy_proxy import LossyProxy, Lost
from tests.service.scripted import APPROVED, Preparing, execute
from tests.service.services.test_crashes import REQUESTS, Request, assert_done_once, let_time_pass
from tests.service.web import test_route_table
from tests.service.web.test_route_table import KEYED, Route, client, objects

__all__ = ["client", "objects"]
WRITES = [route for route in KEYED if route.method != "GET"]
#: What is done to credentials, endpoints and events by the routes that make no payment.
LOCAL = [route for route in WRITES if "/payments" not in route.path]


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[LossyProxy]:
    with LossyProxy(postgres.app) as found:
        yield found


@pytest.fixture
def lossy(proxy: LossyProxy) -> Iterator[Database]:
    database = Database(proxy.conninfo, size=2, timeout=5.0)
    assert database.is_ready()
    yield database
    database.close()


@pytest.fixture
def shop(lossy: Database, journal: Database, key: ApiKey) -> Client:
    found = Client(sandbox_context(lossy, journal), key)
    found.json(found.get("/v1/payments"))  # the key is cached
    return found


def assert_unknown(response: TestResponse) -> None:
    assert (response.status_code, response.get_json()["code"]) == (500, "outcome_unknown"), response.text
    assert response.headers["Retry-After"]


@pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.value)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_tx1(shop: Client, proxy: LossyProxy, postgres: Postgres, request_: Request, lost: Lost) -> None:
    path = "/v1/payments"
    if request_.path:
        payment_id = shop.json(shop.create(capture_method=request_.capture_method))["id"]
        path = f"/v1/payments/{payment_id}/{request_.path}"
    proxy.lose(b"COMMIT", lost)
    assert_unknown(shop.post(path, request_.body, key="crash"))
    assert proxy.cut == 1
    assert execute(postgres, "SELECT 1 FROM sandbox_journal WHERE kind = %s", request_.kind) == [], "nothing was sent"
    again = shop.post(path, request_.body, key="crash")
    if lost is Lost.REQUEST:
        assert again.status_code == request_.status, "the first execution"
    else:
        assert (again.status_code, again.get_json()["code"]) == (409, "request_in_progress")
        let_time_pass(postgres)
        assert recover_due(shop.context)
    assert_done_once(shop, postgres, request_, path)


@pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.value)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_tx2(shop: Client, proxy: LossyProxy, postgres: Postgres, request_: Request, lost: Lost) -> None:
    path = "/v1/payments"
    if request_.path:
        payment_id = shop.json(shop.create(capture_method=request_.capture_method))["id"]
        path = f"/v1/payments/{payment_id}/{request_.path}"
    proxy.lose(b"COMMIT", lost, number=2)
    assert shop.post(path, request_.body, key="crash").status_code in {request_.status, 202}
    assert proxy.cut == 1
    assert_done_once(shop, postgres, request_, path)


@pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.value)
@pytest.mark.parametrize("kind", ["Tx1", "Tx2"])
def test_what_commits_together(
    shop: Client, lossy: Database, proxy: LossyProxy, postgres: Postgres, kind: str, lost: Lost
) -> None:
    body = REQUESTS["create"].body
    keys = ["crash-1", "crash-2", "crash-3"]
    calls = [partial(shop.post, "/v1/payments", body, key=key) for key in keys]
    for future in together(lossy, kind, calls, when_all_wait=lambda: proxy.lose(b"COMMIT", lost)):
        if kind == "Tx1":
            assert_unknown(future.result())
        else:
            assert future.result().status_code in {201, 202}
    let_time_pass(postgres)
    recover_due(shop.context)
    payments = [shop.json(shop.post("/v1/payments", body, key=key)) for key in keys]
    assert len({payment["id"] for payment in payments}) == len(keys)
    assert {payment["status"] for payment in payments} == {"succeeded"}
    assert len(execute(postgres, "SELECT 1 FROM sandbox_journal")) == len(keys), "each was charged once"
    assert ledger_integrity.verify(shop.context).problems == []


@pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.value)
@pytest.mark.parametrize("route", LOCAL, ids=Route.name)
def test_other_writes(
    shop: Client, proxy: LossyProxy, postgres: Postgres, objects: dict[str, str], route: Route, lost: Lost
) -> None:
    headers = {**shop.key.headers, "Idempotency-Key": uuid.uuid4().hex}
    path = test_route_table._path(route, objects)

    def send() -> TestResponse:
        return shop.http().open(path, method=route.method, headers=headers, json=test_route_table._example(route))

    def rows() -> list[tuple[Any, ...]]:
        return execute(postgres, "SELECT action, subject FROM audit_log ORDER BY id")

    before = rows()
    proxy.lose(b"COMMIT", lost)
    assert_unknown(send())
    assert (rows() == before) is (lost is Lost.REQUEST) or "redeliver" in path
    again = send()
    if route.method == "DELETE" and lost is Lost.ANSWER:
        assert again.status_code == 404, "it is deleted"
    else:
        assert again.status_code < 300
    if route.method == "POST":
        assert again.headers.get("Idempotency-Replayed") == ("true" if lost is Lost.ANSWER else None)
        assert len(rows()) <= len(before) + 2, "done once; a rotation makes two records"


@pytest.mark.parametrize("route", WRITES, ids=Route.name)
def test_lost_before_the_commit(
    shop: Client, proxy: LossyProxy, postgres: Postgres, objects: dict[str, str], route: Route
) -> None:
    path = test_route_table._path(route, objects)
    proxy.lose(b"BEGIN", Lost.ANSWER)
    refused = test_route_table._call(shop.http(), route, path, shop.key.headers)
    assert proxy.cut == 1
    if route.name() == "create_payment":  # its whole transaction travels at once, the COMMIT included
        assert_unknown(refused)
        return
    assert (refused.status_code, refused.get_json()["code"]) == (503, "service_unavailable")
    assert refused.headers["Retry-After"]


@pytest.mark.parametrize("code", ["40001", "40P01", "57014", "55P03"])
def test_what_the_server_rolled_back_did_not_begin(
    shop: Client, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Serialization failure, deadlock, statement and lock time-out."""
    insert = payment_creation.insert

    def fail(tx: Any, *arguments: Any) -> Any:
        insert(tx, *arguments)
        tx.execute(f"DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END $$")

    with monkeypatch.context() as patch:
        patch.setattr(payment_creation, "insert", fail)
        refused = shop.create(key="same")
    assert (refused.status_code, refused.get_json()["code"]) == (503, "service_unavailable")
    assert execute(postgres, "SELECT 1 FROM payments") == []
    assert shop.create(key="same").status_code == 201


def test_a_commit_that_the_server_refuses_did_not_begin(shop: Client, postgres: Postgres) -> None:
    """An answer that says no is an answer: a deferred trigger fails at COMMIT."""
    execute(
        postgres,
        "CREATE FUNCTION refuse_commit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '40001'; END $$;"
        " CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON attempts DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse_commit()",
    )
    try:
        refused = shop.create(key="same")
    finally:
        execute(postgres, "DROP FUNCTION refuse_commit() CASCADE")
    assert (refused.status_code, refused.get_json()["code"]) == (503, "service_unavailable")
    assert shop.create(key="same").status_code == 201


# ---- after Tx1, nothing is "not begun" ----------------------------------------
@pytest.mark.parametrize("message", [b"processor_reference", b"COMMIT"], ids=["update", "commit"])
@pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.value)
def test_the_id_of_a_prepared_object(
    lossy: Database, proxy: LossyProxy, key: ApiKey, postgres: Postgres, message: bytes, lost: Lost
) -> None:
    processor = Preparing(prepare=Result(outcome=Outcome.PREPARED, reference="pi_1"), authorize=APPROVED)
    shop = Client(context_with(lossy, processor), key)
    prepare = processor.prepare

    def prepare_and_lose(call: Any) -> Result:
        proxy.lose(message, lost)
        return prepare(call)

    processor.prepare = prepare_and_lose  # type: ignore[method-assign]  # this test scripts it
    response = shop.create("pm")
    assert proxy.cut == 1
    assert (response.status_code, response.get_json()["status"]) == (202, "processing")
    assert processor.called() == ["prepare"], "nothing is confirmed whose id may not be stored"


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.value)
def test_the_customers_decision(shop: Client, proxy: LossyProxy, postgres: Postgres, lost: Lost, number: int) -> None:
    payment_id, page = start_3ds(shop)
    proxy.lose(b"COMMIT", lost, number=number)
    assert_unknown(shop.http().post(page, data={"decision": "approve"}))
    shop.http().post(page, data={"decision": "approve"})
    let_time_pass(postgres)
    recover_due(shop.context)
    assert shop.payment(payment_id)["status"] == "succeeded"
    assert ledger_integrity.verify(shop.context).problems == []


@pytest.mark.parametrize("failure", [psycopg.OperationalError("gone"), TimeoutError("gone")])
def test_a_decision_that_cannot_be_looked_up(shop: Client, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """The payment has left `requires_action`: something began, whatever fails next."""
    _, page = start_3ds(shop)

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr("payments.processors.sandbox.SandboxProcessor.decide", fail)
    response = shop.http().post(page, data={"decision": "approve"})
    assert response.status_code == 500
