"""The worker's part: never guess, ask; send again only while it is the same attempt to the processor; end waits."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from payments.domain.operations import FIRST_LOOKUP_DELAY, MAX_LOOKUP_DELAY, lookup_delay
from payments.domain.outcomes import DeclineCode, Outcome, Result
from payments.processors.base import Call
from payments.repositories.database import Database
from payments.services import stuck_attempts
from payments.services.housekeeping import measure_backlog
from payments.services.recovery import void_expired_authorizations
from payments.services.stuck_attempts import Resolution, ResolutionError
from tests.service.api import Client, context_with, recover_due, sandbox_context
from tests.service.fixtures import ApiKey, Postgres
from tests.service.scripted import APPROVED, UNKNOWN, Preparing, Scripted, execute, look_up_now


@pytest.fixture
def processor() -> Scripted:
    return Scripted()


@pytest.fixture
def client(database: Database, key: ApiKey, processor: Scripted) -> Client:
    return Client(context_with(database, processor), key)


def test_an_attempt_that_is_not_found_is_sent_again(client: Client, processor: Scripted, postgres: Postgres) -> None:
    payment_id = client.json(client.create("pm"))["id"]
    processor.results = {"look_up": Result(outcome=Outcome.NOT_FOUND), "authorize": APPROVED}
    look_up_now(client, postgres)
    assert processor.called() == ["authorize", "look_up", "authorize"]
    first, again = processor.calls[0][1], processor.calls[2][1]
    assert again.attempt_id == first.attempt_id, "under the same key, so that it cannot be done twice"
    assert client.payment(payment_id)["status"] == "succeeded"


def test_nothing_is_sent_once_the_processors_key_has_expired(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    payment_id = client.json(client.create("pm"))["id"]
    execute(postgres, "UPDATE attempts SET created_at = now() - interval '24 hours'")
    processor.results = {"look_up": Result(outcome=Outcome.NOT_FOUND), "authorize": APPROVED}
    look_up_now(client, postgres)
    assert processor.called() == ["authorize", "look_up"]
    assert client.payment(payment_id)["status"] == "processing"
    (stuck,) = stuck_attempts.list_stuck(client.context)
    assert stuck["payment"] == payment_id
    assert stuck["reason"] == "unknown: not found, and the processor's key is no longer valid"


def test_an_unconfirmed_object_is_abandoned(client: Client, processor: Scripted, postgres: Postgres) -> None:
    payment_id = client.json(client.create("pm"))["id"]
    processor.results = {
        "look_up": Result(outcome=Outcome.UNCONFIRMED, reference="pi_1"),
        "abandon": Result(outcome=Outcome.NOT_DONE),
    }
    look_up_now(client, postgres)
    assert processor.called() == ["authorize", "look_up", "abandon"]
    assert processor.calls[-1][1].reference == "pi_1"
    payment = client.payment(payment_id)
    assert (payment["status"], payment["last_error"]["code"]) == ("failed", "processor_error")


def test_a_persistent_unknown_stays_unknown(client: Client, processor: Scripted, postgres: Postgres) -> None:
    """A payment is never marked as failed because of a time-out."""
    payment_id = client.json(client.create("pm"))["id"]
    for _ in range(30):
        look_up_now(client, postgres)
    assert client.payment(payment_id)["status"] == "processing"
    assert client.event_types(payment_id) == ["payment.processing"], "announced once"
    ((wait,),) = execute(postgres, "SELECT next_look_at - now() FROM attempts")
    assert timedelta(seconds=140) < wait <= lookup_delay(30), "backing off"


def test_the_first_look_up_comes_early_then_they_back_off(client: Client, postgres: Postgres) -> None:
    client.create("pm")
    ((wait,),) = execute(postgres, "SELECT next_look_at - now() FROM attempts")
    assert wait < timedelta(seconds=5)
    waits = [lookup_delay(looks) for looks in range(12)]
    assert waits == sorted(waits)
    assert (waits[0], lookup_delay(10**6)) == (FIRST_LOOKUP_DELAY, MAX_LOOKUP_DELAY)


def test_there_is_no_look_up_while_the_request_may_be_sending(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    class Crash(BaseException):
        """Ends the request where a kill would."""

    def crash(call: Call) -> Result:
        raise Crash

    processor.authorize = crash  # type: ignore[method-assign]  # this test scripts it
    with pytest.raises(Crash):
        client.create("pm")
    assert recover_due(client.context) is False
    ((wait,),) = execute(postgres, "SELECT next_look_at - now() FROM attempts")
    assert timedelta(seconds=8) < wait <= timedelta(seconds=10)


def test_nothing_is_sent_after_the_deadline(
    client: Client, processor: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payments.services.execution.PROCESSOR_DEADLINE", timedelta(0))
    response = client.create("pm")
    assert (response.status_code, response.get_json()["status"]) == (202, "processing")
    assert processor.called() == []


def test_a_prepared_id_is_committed_before_confirmation(database: Database, key: ApiKey, postgres: Postgres) -> None:
    processor = Preparing(prepare=Result(outcome=Outcome.PREPARED, reference="pi_1"))
    seen: list[list[tuple[Any, ...]]] = []

    def authorize(call: Call) -> Result:
        seen.append(execute(postgres, "SELECT processor_reference FROM attempts"))
        assert (call.charge_reference, call.reference) == ("pi_1", "pi_1")
        return replace(APPROVED, reference="pi_1")

    processor.authorize = authorize  # type: ignore[method-assign]  # this test scripts it
    assert Client(context_with(database, processor), key).create("pm").status_code == 201
    assert seen == [[("pi_1",)]]


@pytest.mark.parametrize(
    ("prepared", "status"),
    [
        (Result(outcome=Outcome.NOT_DONE), 402),
        (Result(outcome=Outcome.DECLINED, decline_code=DeclineCode.EXPIRED_CARD), 402),
        (UNKNOWN, 202),
    ],
)
def test_nothing_is_confirmed_unprepared(database: Database, key: ApiKey, prepared: Result, status: int) -> None:
    processor = Preparing(prepare=prepared)
    assert Client(context_with(database, processor), key).create("pm").status_code == status
    assert processor.called() == ["prepare"]


def test_an_expired_authorization_is_released(client: Client, processor: Scripted, postgres: Postgres) -> None:
    processor.results = {
        "authorize": APPROVED,
        "look_up": Result(outcome=Outcome.NOT_FOUND),
        "void": Result(outcome=Outcome.EXPIRED),
    }
    payment_id = client.json(client.create("pm", capture_method="manual"))["id"]
    assert void_expired_authorizations(client.context) is False
    execute(postgres, "UPDATE payments SET expires_at = now()")
    assert void_expired_authorizations(client.context) is True
    assert client.payment(payment_id)["pending_operation"] == "void"
    assert processor.called() == ["authorize"], "begun here, sent by recovery"
    look_up_now(client, postgres)
    assert client.payment(payment_id)["status"] == "canceled"
    assert client.event_types(payment_id) == ["payment.authorized", "payment.canceled"]
    assert void_expired_authorizations(client.context) is False


def test_multicapture_needs_the_capability(client: Client, processor: Scripted) -> None:
    processor.results = {"authorize": APPROVED}
    payment_id = client.json(client.create("pm", capture_method="manual"))["id"]
    response = client.post(f"/v1/payments/{payment_id}/capture", {"amount": 1, "final": False})
    assert (response.status_code, response.get_json()["code"]) == (422, "not_supported")


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.APPROVED, "succeeded"), (Outcome.DECLINED, "failed"), (Outcome.NOT_DONE, "failed")]
)
def test_a_person_resolves_by_evidence(client: Client, postgres: Postgres, outcome: Outcome, status: str) -> None:
    payment_id = client.json(client.create("pm", key="same"))["id"]
    ((attempt,),) = execute(postgres, "SELECT id FROM attempts")
    execute(postgres, "UPDATE attempts SET deadline_at = now()")
    resolution = Resolution(
        attempt_id=attempt, outcome=outcome, evidence="dashboard, line 7", actor="cli:ann", reference="ch_1"
    )
    with pytest.raises(ResolutionError, match="evidence"):
        stuck_attempts.resolve(client.context, replace(resolution, evidence=" "))
    stuck_attempts.resolve(client.context, resolution)
    assert client.payment(payment_id)["status"] == status
    assert client.create("pm", key="same").status_code in (201, 402), "the key has its final response"
    assert execute(postgres, "SELECT actor, action, subject, details->>'evidence' FROM audit_log") == [
        ("cli:ann", "attempt.resolve", attempt, "dashboard, line 7")
    ]
    assert execute(postgres, "SELECT evidence FROM attempts") == [("dashboard, line 7",)]
    with pytest.raises(ResolutionError, match="no open attempt"):
        stuck_attempts.resolve(client.context, resolution)


def test_the_backlog_is_measured(client: Client, postgres: Postgres) -> None:
    client.create("pm")
    execute(postgres, "UPDATE attempts SET created_at = now() - interval '1 hour'")
    measure_backlog(client.context)
    samples: dict[str, Any] = {name: document[name] for document in client.context.metrics.drain() for name in document}
    assert samples["RecoveryBacklogAge"][0] == pytest.approx(3600, abs=60)
    assert samples["StuckAttempts"] == [1]


def test_an_attempt_of_an_unconfigured_processor_waits(client: Client, postgres: Postgres) -> None:
    payment_id = client.json(client.create("pm", capture_method="manual"))["id"]
    execute(postgres, "UPDATE attempts SET processor = 'gone', created_at = now() - interval '1 hour', looks = 0")
    execute(postgres, "UPDATE attempts SET next_look_at = now(), outcome = NULL")
    assert recover_due(client.context) is False
    assert client.payment(payment_id)["status"] == "processing"
    (stuck,) = stuck_attempts.list_stuck(client.context)
    assert (stuck["processor"], "configured" in stuck["reason"]) == ("gone", True)
    execute(postgres, "UPDATE payments SET processor = 'gone', status = 'requires_capture', expires_at = now()")
    assert void_expired_authorizations(client.context) is False


def test_a_refund_that_succeeded_is_never_sent_again(client: Client, processor: Scripted, postgres: Postgres) -> None:
    processor.results = {"authorize": APPROVED, "refund": replace(APPROVED, reference="re_1")}
    payment_id = client.json(client.create("pm"))["id"]
    client.json(client.post(f"/v1/payments/{payment_id}/refunds", {"amount": 10}))
    execute(postgres, "UPDATE attempts SET status = 'open', settled_at = NULL WHERE kind = 'refund'")
    processor.results["look_up"] = Result(outcome=Outcome.NOT_FOUND)
    look_up_now(client, postgres)
    processor.results["look_up"] = APPROVED
    look_up_now(client, postgres)
    assert processor.called().count("refund") == 1
    assert client.payment(payment_id)["amount_refunded"] == 10
    assert execute(postgres, "SELECT DISTINCT status FROM attempts") == [("settled",)]


def test_a_sandbox_without_its_journal_knows_nothing(database: Database, key: ApiKey) -> None:
    unreachable = Database("host=/nowhere", size=1, timeout=0.1)
    try:
        client = Client(sandbox_context(database, unreachable), key)
        assert client.create().status_code == 202
    finally:
        unreachable.close()
