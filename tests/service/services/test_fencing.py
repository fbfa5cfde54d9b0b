"""A former holder of an attempt records nothing, and an outcome is recorded once."""

from typing import Any

import psycopg
import pytest

from payments.domain.outcomes import DeclineCode, Outcome, Result
from payments.processors.base import Call
from payments.repositories.database import Database
from payments.services import execution
from tests.service.api import Client, context_with, recover_due
from tests.service.fixtures import ApiKey, Postgres
from tests.service.scripted import APPROVED, Preparing, Scripted, execute, look_up_now


@pytest.fixture
def processor() -> Scripted:
    return Scripted()


@pytest.fixture
def client(database: Database, key: ApiKey, processor: Scripted) -> Client:
    return Client(context_with(database, processor), key)


def test_an_attempt_claimed_after_preparing_is_not_confirmed(
    database: Database, key: ApiKey, postgres: Postgres
) -> None:
    processor = Preparing()

    def prepare(call: Call) -> Result:
        execute(postgres, "UPDATE attempts SET generation = generation + 1")
        return Result(outcome=Outcome.PREPARED, reference="pi_1")

    processor.prepare = prepare  # type: ignore[method-assign]  # this test scripts it
    assert Client(context_with(database, processor), key).create("pm").status_code == 202
    assert processor.called() == []


def test_the_outcome_of_a_lost_attempt_is_not_recorded(client: Client, processor: Scripted, postgres: Postgres) -> None:
    """Fenced by generation: the holder before may say what it likes, late."""
    seen: list[str] = []

    def authorize(call: Call) -> Result:
        execute(postgres, "UPDATE attempts SET next_look_at = now()")
        processor.results = {"look_up": Result(outcome=Outcome.DECLINED, decline_code=DeclineCode.GENERIC_DECLINE)}
        assert recover_due(client.context), "the worker takes it over and settles it"
        seen.append(call.payment_id)
        return APPROVED

    processor.authorize = authorize  # type: ignore[method-assign]  # this test scripts it
    assert client.create("pm").status_code == 202
    payment = client.payment(seen[0])
    assert (payment["status"], payment["amount_captured"]) == ("failed", 0)
    assert client.entries(seen[0]) == []
    assert client.event_types(seen[0]) == ["payment.failed"]


def test_the_outcome_is_left_to_the_current_holder(client: Client, processor: Scripted, postgres: Postgres) -> None:
    """The attempt is still open, and held by another: only the generation shows it."""

    def authorize(call: Call) -> Result:
        execute(postgres, "UPDATE attempts SET generation = generation + 1")
        return APPROVED

    processor.authorize = authorize  # type: ignore[method-assign]  # this test scripts it
    response = client.create("pm")
    assert (response.status_code, response.get_json()["status"]) == (202, "processing")
    payment_id = response.get_json()["id"]
    assert client.entries(payment_id) == []
    assert execute(postgres, "SELECT status, outcome FROM attempts") == [("open", None)]
    processor.results = {"look_up": APPROVED}
    look_up_now(client, postgres)
    assert client.payment(payment_id)["status"] == "succeeded"
    assert client.event_types(payment_id) == ["payment.succeeded"]


def test_an_outcome_with_an_unconfirmed_commit_is_recorded_once(
    client: Client, processor: Scripted, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost after the COMMIT and before its confirmation: a retry finds the attempt settled."""
    processor.results = {"authorize": APPROVED}
    original, answers = execution._record_once, []

    def unconfirmed(*arguments: Any, **named: Any) -> object:
        answers.append(original(*arguments, **named))
        if len(answers) == 1:
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return answers[-1]

    monkeypatch.setattr(execution, "_record_once", unconfirmed)
    assert client.create("pm", key="same").status_code == 202
    assert answers[1] is None, "settled already"
    repeated = client.create("pm", key="same")
    assert (repeated.status_code, repeated.get_json()["status"]) == (201, "succeeded")
    payment_id = repeated.get_json()["id"]
    assert client.event_types(payment_id) == ["payment.succeeded"]
    assert len(client.entries(payment_id)) == 2
