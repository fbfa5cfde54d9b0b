"""Concurrent or last-moment actions: the first wins, the other gets an error, and nothing is sent too late."""

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from payments.domain.outcomes import Outcome, Result
from payments.processors.base import Call
from payments.repositories import attempts, idempotency, payments
from payments.repositories.database import Database
from payments.services import stuck_attempts
from payments.services.execution import record
from payments.services.recovery import void_expired_authorizations
from payments.services.stuck_attempts import Resolution, ResolutionError
from tests.service.api import Client, context_with, recover_due, sandbox_context, start_3ds
from tests.service.fixtures import ApiKey, Postgres
from tests.service.scripted import APPROVED, Preparing, Scripted, execute

PREPARED = Result(outcome=Outcome.PREPARED, reference="pi_1")


@pytest.fixture
def sandbox(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


# ---- the deadline ----------------------------------------
def test_nothing_is_confirmed_after_the_deadline(
    database: Database, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = Preparing()

    def prepare(call: Call) -> Result:
        processor.calls.append(("prepare", call))
        monkeypatch.setattr("payments.services.execution.PROCESSOR_DEADLINE", timedelta(0))
        return PREPARED

    processor.prepare = prepare  # type: ignore[method-assign]  # this test scripts it
    response = Client(context_with(database, processor), key).create("pm")
    assert (response.status_code, response.get_json()["status"]) == (202, "processing")
    assert processor.called() == ["prepare"]


def test_a_prepared_object_is_confirmed_under_its_id(database: Database, key: ApiKey, postgres: Postgres) -> None:
    processor = Preparing(prepare=PREPARED, look_up=Result(outcome=Outcome.NOT_FOUND))
    client = Client(context_with(database, processor), key)
    payment_id = client.json(client.create("pm"))["id"]
    processor.results["authorize"] = APPROVED
    execute(postgres, "UPDATE attempts SET next_look_at = now()")
    assert recover_due(client.context)
    assert processor.called() == ["prepare", "authorize", "look_up", "authorize"]
    assert processor.calls[-1][1].reference == "pi_1"
    assert client.payment(payment_id)["status"] == "succeeded"


# ---- 3-D Secure ----------------------------------------
def test_a_second_click_after_a_crash_decides(sandbox: Client, postgres: Postgres) -> None:
    payment_id, page = start_3ds(sandbox)
    execute(postgres, "UPDATE payments SET status = 'processing', next_action = NULL, expires_at = NULL")
    assert sandbox.http().post(page, data={"decision": "approve"}).status_code == 200
    assert sandbox.payment(payment_id)["status"] == "succeeded"


@pytest.mark.parametrize("change", ["pending_operation = 'void'", "status = 'canceled', next_action = NULL"])
def test_a_click_after_the_void_is_too_late(sandbox: Client, postgres: Postgres, change: str) -> None:
    payment_id, page = start_3ds(sandbox)
    execute(postgres, f"UPDATE payments SET {change}")
    before = sandbox.payment(payment_id)
    assert sandbox.http().post(page, data={"decision": "approve"}).status_code == 200
    assert sandbox.payment(payment_id) == before


def test_without_the_sandbox_there_are_no_pages(database: Database, key: ApiKey) -> None:
    client = Client(context_with(database, Scripted()), key)
    assert client.http().get("/v1/sandbox/3ds/" + "y" * 32).status_code == 404


# ---- the worker and others ----------------------------------------
def test_a_person_who_loses_to_the_worker_is_told(
    database: Database, key: ApiKey, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(context_with(database, Scripted()), key)
    client.create("pm")
    execute(postgres, "UPDATE attempts SET deadline_at = now()")
    ((attempt,),) = execute(postgres, "SELECT id FROM attempts")

    def record_late(*arguments: Any, **named: Any) -> Any:
        execute(postgres, "UPDATE attempts SET generation = generation + 1")
        return record(*arguments, **named)

    monkeypatch.setattr("payments.services.stuck_attempts.record", record_late)
    found = Resolution(attempt_id=attempt, outcome=Outcome.APPROVED, evidence="line 7", actor="cli:ann", reference="r")
    with pytest.raises(ResolutionError, match="meanwhile"):
        stuck_attempts.resolve(client.context, found)


def test_an_authorization_captured_as_it_expires_is_not_voided(
    database: Database, key: ApiKey, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(context_with(database, Scripted(authorize=APPROVED, capture=APPROVED)), key)
    payment_id = client.json(client.create("pm", capture_method="manual"))["id"]
    execute(postgres, "UPDATE payments SET expires_at = now()")
    find = payments.expired_authorizations

    def find_too_early(*arguments: Any, **named: Any) -> object:
        found = find(*arguments, **named)
        client.json(client.post(f"/v1/payments/{payment_id}/capture"))
        return found

    monkeypatch.setattr(payments, "expired_authorizations", find_too_early)
    void_expired_authorizations(client.context)
    payment = client.payment(payment_id)
    assert (payment["status"], payment["pending_operation"]) == ("succeeded", None)


def test_an_attempt_that_cannot_be_rescheduled_is_retried(
    database: Database,
    key: ApiKey,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    processor = Scripted()
    client = Client(context_with(database, processor), key)
    payment_id = client.json(client.create("pm"))["id"]

    def fail(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("gone")

    execute(postgres, "UPDATE attempts SET next_look_at = now()")
    with monkeypatch.context() as patch:
        patch.setattr(processor, "look_up", fail)
        patch.setattr(attempts, "reschedule", fail)
        assert recover_due(client.context)
    assert "attempt could not be rescheduled" in caplog.text
    processor.results["look_up"] = APPROVED
    execute(postgres, "UPDATE attempts SET deadline_at = now(), next_look_at = now()")
    assert recover_due(client.context)
    assert client.payment(payment_id)["status"] == "succeeded"


def test_a_key_that_vanishes_while_it_is_read_can_be_retried(sandbox: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.create(key="same")
    monkeypatch.setattr(idempotency, "get", lambda *_, **__: None)
    response = sandbox.create(key="same")
    assert (response.status_code, response.headers["Retry-After"]) == (409, "1")


def test_concurrent_clicks_decide_once(sandbox: Client) -> None:
    payment_id, page = start_3ds(sandbox)
    statuses: list[int] = []
    clicks = [
        threading.Thread(
            target=lambda choice=choice: statuses.append(
                sandbox.http().post(page, data={"decision": choice}).status_code
            )
        )
        for choice in ["approve", "refuse"] * 4
    ]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert set(statuses) == {200}
    assert len(sandbox.event_types(payment_id)) == 3
