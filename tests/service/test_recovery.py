"""The worker's part: never guess, ask; send again only while it is the same attempt to the processor; end waits."""

import queue
import threading
import time
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from payments.domain.operations import FIRST_LOOK, LONGEST_LOOK, PROCESSOR_DEADLINE, wait_before_look
from payments.domain.outcomes import DeclineCode, Outcome, Result
from payments.processors.base import Call, Capabilities
from payments.processors.sandbox import SandboxProcessor
from payments.repositories import attempts
from payments.repositories.database import Database
from payments.services import execution, oversight, recovery
from payments.services.housekeeping import measure_backlog
from payments.services.oversight import OversightError, Resolution
from payments.services.recovery import Recoverer, end_expired_authorizations
from tests.service.api import Client, context_with, recover_due, sandbox_context
from tests.service.conftest import ApiKey, Postgres

UNKNOWN = Result(outcome=Outcome.UNKNOWN, detail="time-out")
APPROVED = Result(outcome=Outcome.APPROVED, reference="ref_1")


class Scripted:
    """A processor that answers what it is told, and notes what it was asked."""

    name = "scripted"
    capabilities = Capabilities(
        multicapture=False, prepares=False, key_validity=timedelta(hours=23), authorization_validity=timedelta(days=7)
    )

    def __init__(self, **answers: Result) -> None:
        self.answers = answers
        self.calls: list[tuple[str, Call]] = []

    def asked(self) -> list[str]:
        return [name for name, _ in self.calls]

    def refuses_method(self, payment_method: str) -> str | None:
        return None

    def is_available(self) -> bool:
        return True

    def _answer(self, name: str, call: Call) -> Result:
        self.calls.append((name, call))
        return self.answers.get(name, UNKNOWN)

    def prepare(self, call: Call) -> Result:
        return self._answer("prepare", call)

    def authorize(self, call: Call) -> Result:
        return self._answer("authorize", call)

    def capture(self, call: Call) -> Result:
        return self._answer("capture", call)

    def void(self, call: Call) -> Result:
        return self._answer("void", call)

    def refund(self, call: Call) -> Result:
        return self._answer("refund", call)

    def look_up(self, call: Call) -> Result:
        return self._answer("look_up", call)

    def abandon(self, call: Call) -> Result:
        return self._answer("abandon", call)


@pytest.fixture
def processor() -> Scripted:
    return Scripted()


@pytest.fixture
def client(database: Database, key: ApiKey, processor: Scripted) -> Client:
    return Client(context_with(database, processor), key)


def execute(postgres: Postgres, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def look(client: Client, postgres: Postgres) -> None:
    """The worker looks now, however long it meant to wait."""
    execute(postgres, "UPDATE attempts SET next_look_at = now() WHERE status = 'open'")
    assert recover_due(client.context)


def test_not_found_is_no_evidence_the_same_attempt_is_sent_again(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    payment_id = client.json(client.create("pm"))["id"]
    processor.answers = {"look_up": Result(outcome=Outcome.NOT_FOUND), "authorize": APPROVED}
    look(client, postgres)
    assert processor.asked() == ["authorize", "look_up", "authorize"]
    first, again = processor.calls[0][1], processor.calls[2][1]
    assert again.attempt_id == first.attempt_id, "under the same key, so that it cannot be done twice"
    assert client.payment(payment_id)["status"] == "succeeded"


def test_when_the_processors_key_is_no_longer_valid_nothing_is_sent_and_nothing_guessed(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    payment_id = client.json(client.create("pm"))["id"]
    execute(postgres, "UPDATE attempts SET created_at = now() - interval '24 hours'")
    processor.answers = {"look_up": Result(outcome=Outcome.NOT_FOUND), "authorize": APPROVED}
    look(client, postgres)
    assert processor.asked() == ["authorize", "look_up"]
    assert client.payment(payment_id)["status"] == "processing"
    (stuck,) = oversight.list_stuck(client.context)
    assert stuck["payment"] == payment_id
    assert stuck["reason"] == "unknown: not found, and the processor's key is no longer valid"


def test_what_was_never_confirmed_is_abandoned_not_confirmed_late(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    payment_id = client.json(client.create("pm"))["id"]
    processor.answers = {
        "look_up": Result(outcome=Outcome.UNCONFIRMED, reference="pi_1"),
        "abandon": Result(outcome=Outcome.NOT_DONE),
    }
    look(client, postgres)
    assert processor.asked() == ["authorize", "look_up", "abandon"]
    assert processor.calls[-1][1].reference == "pi_1"
    payment = client.payment(payment_id)
    assert (payment["status"], payment["last_error"]["code"]) == ("failed", "processor_error")


def test_a_persistent_unknown_stays_unknown(client: Client, processor: Scripted, postgres: Postgres) -> None:
    """A payment is never marked failed because somebody gave up asking."""
    payment_id = client.json(client.create("pm"))["id"]
    for _ in range(30):
        look(client, postgres)
    assert client.payment(payment_id)["status"] == "processing"
    assert client.event_types(payment_id) == ["payment.processing"], "announced once"
    ((wait,),) = execute(postgres, "SELECT next_look_at - now() FROM attempts")
    assert timedelta(minutes=14) < wait <= LONGEST_LOOK, "backing off"


def test_first_look_within_five_seconds_then_backing_off(client: Client, postgres: Postgres) -> None:
    client.create("pm")
    ((wait,),) = execute(postgres, "SELECT next_look_at - now() FROM attempts")
    assert wait < timedelta(seconds=5)
    waits = [wait_before_look(looks) for looks in range(12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1], wait_before_look(10**6)) == (FIRST_LOOK, LONGEST_LOOK, LONGEST_LOOK)


def test_nobody_looks_while_the_request_may_still_be_sending(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    class Crash(BaseException):
        """Ends the request where a kill would."""

    def crash(call: Call) -> Result:
        raise Crash

    processor.authorize = crash  # type: ignore[method-assign]
    with pytest.raises(Crash):
        client.create("pm")
    assert recover_due(client.context) is False
    ((wait,),) = execute(postgres, "SELECT next_look_at - now() FROM attempts")
    assert timedelta(seconds=8) < wait <= timedelta(seconds=10)


def test_nothing_is_sent_after_the_deadline(
    client: Client, processor: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payments.services.execution.PROCESSOR_DEADLINE", timedelta(0))
    answer = client.create("pm")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "processing")
    assert processor.asked() == []


class Preparing(Scripted):
    """Makes an object first, like Stripe."""

    capabilities = replace(Scripted.capabilities, prepares=True)


def test_the_prepared_objects_id_is_committed_before_it_is_confirmed(
    database: Database, key: ApiKey, postgres: Postgres
) -> None:
    processor = Preparing(prepare=Result(outcome=Outcome.PREPARED, reference="pi_1"))
    seen: list[list[tuple[Any, ...]]] = []

    def authorize(call: Call) -> Result:
        seen.append(execute(postgres, "SELECT processor_reference FROM attempts"))
        assert (call.charge_reference, call.reference) == ("pi_1", "pi_1")
        return replace(APPROVED, reference="pi_1")

    processor.authorize = authorize  # type: ignore[method-assign]
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
def test_what_was_not_prepared_is_not_confirmed(database: Database, key: ApiKey, prepared: Result, status: int) -> None:
    processor = Preparing(prepare=prepared)
    assert Client(context_with(database, processor), key).create("pm").status_code == status
    assert processor.asked() == ["prepare"]


def test_an_attempt_taken_over_between_preparing_and_confirming_is_not_confirmed(
    database: Database, key: ApiKey, postgres: Postgres
) -> None:
    processor = Preparing()

    def prepare(call: Call) -> Result:
        execute(postgres, "UPDATE attempts SET generation = generation + 1")
        return Result(outcome=Outcome.PREPARED, reference="pi_1")

    processor.prepare = prepare  # type: ignore[method-assign]
    assert Client(context_with(database, processor), key).create("pm").status_code == 202
    assert processor.asked() == []


def test_an_authorization_that_has_ended_is_released(client: Client, processor: Scripted, postgres: Postgres) -> None:
    processor.answers = {
        "authorize": APPROVED,
        "look_up": Result(outcome=Outcome.NOT_FOUND),
        "void": Result(outcome=Outcome.EXPIRED),
    }
    payment_id = client.json(client.create("pm", capture_method="manual"))["id"]
    assert end_expired_authorizations(client.context) is False
    execute(postgres, "UPDATE payments SET expires_at = now()")
    assert end_expired_authorizations(client.context) is True
    assert client.payment(payment_id)["pending_operation"] == "void"
    assert processor.asked() == ["authorize"], "begun here, sent by recovery"
    look(client, postgres)
    assert client.payment(payment_id)["status"] == "canceled"
    assert client.event_types(payment_id) == ["payment.authorized", "payment.canceled"]
    assert end_expired_authorizations(client.context) is False


def test_multicapture_needs_the_processors_capability(client: Client, processor: Scripted) -> None:
    processor.answers = {"authorize": APPROVED}
    payment_id = client.json(client.create("pm", capture_method="manual"))["id"]
    answer = client.post(f"/v1/payments/{payment_id}/capture", {"amount": 1, "final": False})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "not_supported")


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.APPROVED, "succeeded"), (Outcome.DECLINED, "failed"), (Outcome.NOT_DONE, "failed")]
)
def test_a_person_settles_with_evidence(client: Client, postgres: Postgres, outcome: Outcome, status: str) -> None:
    payment_id = client.json(client.create("pm", key="same"))["id"]
    ((attempt,),) = execute(postgres, "SELECT id FROM attempts")
    execute(postgres, "UPDATE attempts SET deadline_at = now()")
    resolution = Resolution(
        attempt_id=attempt, outcome=outcome, evidence="dashboard, line 7", actor="cli:ann", reference="ch_1"
    )
    with pytest.raises(OversightError, match="evidence"):
        oversight.resolve(client.context, replace(resolution, evidence=" "))
    oversight.resolve(client.context, resolution)
    assert client.payment(payment_id)["status"] == status
    assert client.create("pm", key="same").status_code in (201, 402), "the key has its final answer"
    assert execute(postgres, "SELECT actor, action, subject, details->>'evidence' FROM audit_log") == [
        ("cli:ann", "attempt.resolve", attempt, "dashboard, line 7")
    ]
    assert execute(postgres, "SELECT evidence FROM attempts") == [("dashboard, line 7",)]
    with pytest.raises(OversightError, match="no open attempt"):
        oversight.resolve(client.context, resolution)


def test_the_backlog_is_measured(client: Client, postgres: Postgres) -> None:
    client.create("pm")
    execute(postgres, "UPDATE attempts SET created_at = now() - interval '1 hour'")
    measure_backlog(client.context)
    samples = {name: document[name] for document in client.context.metrics.drain() for name in document}
    assert samples["RecoveryBacklogAge"][0] == pytest.approx(3600, abs=60)
    assert samples["StuckAttempts"] == [1]


def test_a_payment_of_a_processor_that_is_not_configured_waits(client: Client, postgres: Postgres) -> None:
    payment_id = client.json(client.create("pm", capture_method="manual"))["id"]
    execute(postgres, "UPDATE attempts SET processor = 'gone', created_at = now() - interval '1 hour', looks = 0")
    execute(postgres, "UPDATE attempts SET next_look_at = now(), outcome = NULL")
    assert recover_due(client.context) is False
    assert client.payment(payment_id)["status"] == "processing"
    (stuck,) = oversight.list_stuck(client.context)
    assert (stuck["processor"], "configured" in stuck["reason"]) == ("gone", True)
    execute(postgres, "UPDATE payments SET processor = 'gone', status = 'requires_capture', expires_at = now()")
    assert end_expired_authorizations(client.context) is False


class Hanging(Scripted):
    """Does not answer about some attempts until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.sick: set[str] = set()
        self.released = threading.Event()
        self.answered: queue.SimpleQueue[str] = queue.SimpleQueue()

    def look_up(self, call: Call) -> Result:
        if call.attempt_id in self.sick:
            assert self.released.wait(60)
            return UNKNOWN
        self.answered.put(call.attempt_id)
        return APPROVED


def attempt_ids(postgres: Postgres) -> set[str]:
    return {row[0] for row in execute(postgres, "SELECT id FROM attempts WHERE status = 'open'")}


def test_many_look_ups_that_hang_keep_a_new_one_waiting_no_more_than_any_other(
    database: Database, key: ApiKey, postgres: Postgres
) -> None:
    """The first look-up comes within five seconds, also while a processor lets old ones hang until the deadline."""
    processor = Hanging()
    client = Client(context_with(database, processor), key)
    recoverer = Recoverer(client.context, processor.name, threads=4, reserved=2)
    try:
        for _ in range(8):
            client.create("pm")
        processor.sick = attempt_ids(postgres)
        execute(postgres, "UPDATE attempts SET looks = 9, next_look_at = now() - interval '1 hour'")
        assert recoverer.run()
        assert recoverer.run() is False, "old ones take only their share"
        assert execute(postgres, "SELECT count(*) FROM attempts WHERE generation > 1") == [(2,)]
        client.create("pm")
        (new,) = attempt_ids(postgres) - processor.sick
        execute(postgres, "UPDATE attempts SET next_look_at = now() WHERE id = %s", new)
        assert recoverer.run()
        assert processor.answered.get(timeout=30) == new, "while the others still hang"
    finally:
        processor.released.set()
        recoverer.close()
    assert processor.sick == attempt_ids(postgres), "what closing waited for is recorded"
    assert execute(postgres, "SELECT count(*) FROM attempts WHERE looks = 10") == [(2,)]


def test_no_more_is_taken_than_asked_for_whatever_plan_the_database_makes(
    client: Client, database: Database, postgres: Postgres
) -> None:
    """A subquery that locks must run once: run again for every row, it locks the next ones each time."""
    for _ in range(8):
        client.create("pm")
    execute(postgres, "UPDATE attempts SET next_look_at = now()")
    with database.transaction() as tx:
        for way in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "indexscan", "bitmapscan"):
            tx.execute(f"SET LOCAL enable_{way} = off")
        assert len(attempts.take_due(tx, processor="scripted", early=True, limit=2)) == 2


def test_while_every_thread_hangs_nothing_more_is_taken(database: Database, key: ApiKey, postgres: Postgres) -> None:
    """Taken and not begun, an attempt would lose its deadline for nothing."""
    processor = Hanging()
    client = Client(context_with(database, processor), key)
    recoverer = Recoverer(client.context, processor.name, threads=2, reserved=0)
    try:
        for _ in range(3):
            client.create("pm")
        processor.sick = attempt_ids(postgres)
        execute(postgres, "UPDATE attempts SET next_look_at = now()")
        assert recoverer.run()
        assert recoverer.run() is False
        assert execute(postgres, "SELECT count(*) FROM attempts WHERE generation > 1") == [(2,)]
    finally:
        processor.released.set()
        recoverer.close()


def test_an_attempt_that_fails_every_time_backs_off_and_harms_no_other(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    poison = client.json(client.create("pm"))["id"]
    others = [client.json(client.create("pm"))["id"] for _ in range(3)]

    def look_up(call: Call) -> Result:
        if call.payment_id == poison:
            raise RuntimeError("a mistake of ours")
        return replace(APPROVED, reference=f"ref_{call.attempt_id}")

    processor.look_up = look_up  # type: ignore[method-assign]
    look(client, postgres)
    assert [client.payment(other)["status"] for other in others] == ["succeeded"] * 3
    assert client.payment(poison)["status"] == "processing"
    for _ in range(12):
        look(client, postgres)
    ((looks, reason, wait),) = execute(
        postgres, "SELECT looks, stuck_reason, next_look_at - now() FROM attempts WHERE status = 'open'"
    )
    assert (looks, reason) == (14, "failed: RuntimeError")
    assert wait > timedelta(minutes=14)


def test_an_attempt_that_somebody_else_took_is_not_put_off(database: Database, key: ApiKey, postgres: Postgres) -> None:
    processor = Scripted()
    client = Client(context_with(database, processor), key)
    client.create("pm")

    def look_up(call: Call) -> Result:
        execute(postgres, "UPDATE attempts SET generation = generation + 1")
        raise RuntimeError("a mistake of ours")

    processor.look_up = look_up  # type: ignore[method-assign]
    look(client, postgres)
    assert execute(postgres, "SELECT looks, stuck_reason FROM attempts") == [(1, None)]


def test_an_outcome_that_comes_after_the_attempt_was_taken_over_is_not_recorded(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    """Fenced by generation: the holder before may say what it likes, late."""
    seen: list[str] = []

    def authorize(call: Call) -> Result:
        execute(postgres, "UPDATE attempts SET next_look_at = now()")
        processor.answers = {"look_up": Result(outcome=Outcome.DECLINED, decline_code=DeclineCode.GENERIC_DECLINE)}
        assert recover_due(client.context), "the worker takes it over and settles it"
        seen.append(call.payment_id)
        return APPROVED

    processor.authorize = authorize  # type: ignore[method-assign]
    assert client.create("pm").status_code == 202
    payment = client.payment(seen[0])
    assert (payment["status"], payment["amount_captured"]) == ("failed", 0)
    assert client.entries(seen[0]) == []
    assert client.event_types(seen[0]) == ["payment.failed"]


def test_an_outcome_that_comes_while_another_holds_the_attempt_is_left_to_that_one(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    """Still open, and somebody else's: only the generation tells."""

    def authorize(call: Call) -> Result:
        execute(postgres, "UPDATE attempts SET generation = generation + 1")
        return APPROVED

    processor.authorize = authorize  # type: ignore[method-assign]
    answer = client.create("pm")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "processing")
    payment_id = answer.get_json()["id"]
    assert client.entries(payment_id) == []
    assert execute(postgres, "SELECT status, outcome FROM attempts") == [("open", None)]
    processor.answers = {"look_up": APPROVED}
    look(client, postgres)
    assert client.payment(payment_id)["status"] == "succeeded"
    assert client.event_types(payment_id) == ["payment.succeeded"]


def test_an_outcome_whose_commit_was_not_confirmed_is_recorded_once(
    client: Client, processor: Scripted, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends after COMMIT was done and before we are told: trying again finds the attempt settled."""
    processor.answers = {"authorize": APPROVED}
    original, answers = execution._record_once, []

    def unconfirmed(*arguments: Any, **named: Any) -> Any:
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


def test_the_workers_deadline_is_never_later_than_the_databases(
    client: Client, processor: Scripted, monkeypatch: pytest.MonkeyPatch, postgres: Postgres
) -> None:
    """Its clock starts before the statement that sets the deadline, however long that takes."""
    client.create("pm")
    clock = [100.0]
    take_due = attempts.take_due

    def slow(*arguments: Any, **named: Any) -> Any:
        clock[0] += 3.0
        return take_due(*arguments, **named)

    monkeypatch.setattr(attempts, "take_due", slow)
    for module in (recovery, execution):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=time.sleep))
    look(client, postgres)
    ((_, call),) = [made for made in processor.calls if made[0] == "look_up"]
    # Two statements were slow: one for new attempts, one for old.
    assert call.timeout == PROCESSOR_DEADLINE.total_seconds() - 6.0


def test_a_refund_that_is_looked_up_again_is_never_sent_again(
    client: Client, processor: Scripted, postgres: Postgres
) -> None:
    processor.answers = {"authorize": APPROVED, "refund": replace(APPROVED, reference="re_1")}
    payment_id = client.json(client.create("pm"))["id"]
    client.json(client.post(f"/v1/payments/{payment_id}/refunds", {"amount": 10}))
    execute(postgres, "UPDATE attempts SET status = 'open' WHERE kind = 'refund'")
    processor.answers["look_up"] = Result(outcome=Outcome.NOT_FOUND)
    look(client, postgres)
    processor.answers["look_up"] = APPROVED
    look(client, postgres)
    assert processor.asked().count("refund") == 1
    assert client.payment(payment_id)["amount_refunded"] == 10
    assert execute(postgres, "SELECT DISTINCT status FROM attempts") == [("settled",)]


def test_a_sandbox_that_cannot_reach_its_journal_knows_nothing(database: Database, key: ApiKey) -> None:
    unreachable = Database("host=/nowhere", size=1, timeout=0.1)
    try:
        client = Client(sandbox_context(database, unreachable), key)
        assert client.create().status_code == 202
    finally:
        unreachable.close()


def test_the_sandbox_prepares_nothing(journal: Database) -> None:
    sandbox = SandboxProcessor(journal, public_base_url="https://x")
    with pytest.raises(NotImplementedError):
        sandbox.prepare(None)  # type: ignore[arg-type]
    assert sandbox.is_available()
