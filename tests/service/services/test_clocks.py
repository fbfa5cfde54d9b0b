"""A process whose clock is an hour wrong decides as any other: stored times are compared with the database's clock."""

import ast
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from payments.domain.outcomes import Outcome, Result
from payments.repositories.database import Database
from payments.services.recovery import void_expired_authorizations
from tests.service.api import Client, context_with, recover_due, sandbox_context, start_3ds
from tests.service.fixtures import ApiKey, Postgres, make_key
from tests.service.scripted import APPROVED, Scripted, execute, look_up_now

HOUR = timedelta(hours=1)
NOT_FOUND = Result(outcome=Outcome.NOT_FOUND)


@pytest.fixture(params=[HOUR, -HOUR], ids=["ahead", "behind"])
def shift(request: pytest.FixtureRequest) -> timedelta:
    """By how much the process's clock is wrong."""
    found: timedelta = request.param
    return found


@pytest.fixture
def scripted() -> Scripted:
    return Scripted(authorize=APPROVED)


@pytest.fixture
def client(database: Database, scripted: Scripted, key: ApiKey, shift: timedelta) -> Client:
    return Client(replace(context_with(database, scripted), now=lambda: datetime.now(UTC) + shift), key)


@pytest.fixture
def sandbox(database: Database, journal: Database, key: ApiKey, shift: timedelta) -> Client:
    return Client(replace(sandbox_context(database, journal), now=lambda: datetime.now(UTC) + shift), key)


def moment(offset: timedelta) -> str:
    return f"clock_timestamp() + interval '{offset.total_seconds()} s'"


def error(postgres: Postgres, expression: str, table: str = "payments") -> float:
    """Return by how many seconds a stored time differs from what the database's clock makes of it."""
    ((value,),) = execute(postgres, f"SELECT abs(extract(epoch FROM {expression}))::float8 FROM {table}")
    return float(value)


# ---- keys ----------------------------------------
@pytest.mark.parametrize("left", [HOUR / 2, -HOUR / 2], ids=["valid", "expired"])
def test_expiry_of_a_key(client: Client, postgres: Postgres, left: timedelta) -> None:
    execute(postgres, f"UPDATE api_keys SET expires_at = {moment(left)}")
    assert client.get("/v1/api_keys").status_code == (200 if left > timedelta(0) else 401)
    judge = Client(client.context, make_key(postgres, "mer_alice"))
    status = {item["id"]: item["status"] for item in judge.json(judge.get("/v1/api_keys"))["data"]}
    assert status["key_" + client.key.token.split("_")[2]] == ("active" if left > timedelta(0) else "expired")


@pytest.mark.parametrize("left", [HOUR / 2, -HOUR / 2], ids=["future", "past"])
def test_a_key_must_expire_in_the_future(client: Client, left: timedelta) -> None:
    body = {"name": "n", "scopes": ["payments:read"], "expires_at": int((datetime.now(UTC) + left).timestamp())}
    response = client.post("/v1/api_keys", body)
    assert response.status_code == (201 if left > timedelta(0) else 422)


def test_overlap_and_revocation(client: Client, postgres: Postgres) -> None:
    key_id = client.json(client.post("/v1/api_keys", {"name": "n", "scopes": ["payments:read"]}))["id"]
    client.json(client.post(f"/v1/api_keys/{key_id}/rotate", {"overlap": 600}))
    client.json(client.post(f"/v1/api_keys/{key_id}/revoke"))
    row = f"api_keys WHERE id = '{key_id}'"
    assert error(postgres, "expires_at - clock_timestamp() - interval '600 s'", row) < 60
    assert error(postgres, "revoked_at - clock_timestamp()", row) < 60
    assert error(postgres, "created_at - clock_timestamp()", row) < 60


# ---- idempotency ----------------------------------------
def test_leases_and_retention(client: Client, scripted: Scripted, postgres: Postgres) -> None:
    scripted.results = {}
    client.create("pm", key="same")
    for lease, status in ((HOUR / 2, 409), (-HOUR / 2, 202)):
        execute(postgres, f"UPDATE idempotency_keys SET lease_until = {moment(lease)}")
        assert client.create("pm", key="same").status_code == status
    scripted.results = {"look_up": APPROVED}
    look_up_now(client, postgres)
    for kept, replayed in ((HOUR / 2, "true"), (-HOUR / 2, None)):
        execute(postgres, f"UPDATE idempotency_keys SET expires_at = {moment(kept)}")
        assert client.create("pm", key="same").headers.get("Idempotency-Replayed") == replayed


# ---- attempts ----------------------------------------
def test_a_processor_key_is_used_while_it_is_valid(client: Client, scripted: Scripted, postgres: Postgres) -> None:
    """Sent again after that, it would be a second charge."""
    validity = Scripted.capabilities.key_validity
    assert validity is not None
    scripted.results = {"look_up": NOT_FOUND}
    client.create("pm")
    for age, calls in ((validity + HOUR / 2, 1), (validity - HOUR / 2, 2)):
        execute(postgres, f"UPDATE attempts SET created_at = {moment(-age)}")
        look_up_now(client, postgres)
        assert scripted.called().count("authorize") == calls


def test_an_attempt_is_stuck_by_its_age(client: Client, scripted: Scripted, postgres: Postgres) -> None:
    scripted.results = {}
    client.create("pm")
    for age, stuck in ((timedelta(minutes=5), False), (timedelta(minutes=45), True)):
        execute(postgres, f"UPDATE attempts SET created_at = {moment(-age)}")
        look_up_now(client, postgres)
        assert execute(postgres, "SELECT stuck_reason IS NOT NULL FROM attempts") == [(stuck,)]


def test_deadlines_and_look_ups(client: Client, scripted: Scripted, postgres: Postgres) -> None:
    scripted.results = {}
    client.create("pm")
    assert not recover_due(client.context), "the first look-up is not due yet"
    execute(postgres, "UPDATE attempts SET next_look_at = clock_timestamp()")
    assert recover_due(client.context)
    assert error(postgres, "next_look_at - clock_timestamp()", "attempts") < 60


# ---- payments ----------------------------------------
def test_an_authorization_expires(client: Client, scripted: Scripted, postgres: Postgres) -> None:
    client.json(client.create("pm", capture_method="manual"))
    assert error(postgres, "expires_at - clock_timestamp() - interval '7 days'") < 60
    for left, voids in ((HOUR / 2, False), (-HOUR / 2, True)):
        execute(postgres, f"UPDATE payments SET expires_at = {moment(left)}")
        assert void_expired_authorizations(client.context) is voids


def test_the_customers_action_expires(sandbox: Client, postgres: Postgres) -> None:
    payment_id, _ = start_3ds(sandbox)
    assert error(postgres, "expires_at - clock_timestamp() - interval '24 hours'") < 60
    assert error(postgres, "next_look_at - clock_timestamp() - interval '24 hours'", "attempts") < 60
    for left, status in ((HOUR / 2, "requires_action"), (-HOUR / 2, "canceled")):
        execute(postgres, f"UPDATE payments SET expires_at = {moment(left)}")
        look_up_now(sandbox, postgres)
        assert sandbox.payment(payment_id)["status"] == status


def test_a_page_is_answered(sandbox: Client) -> None:
    payment_id, page = start_3ds(sandbox)
    assert sandbox.http().post(page, data={"decision": "approve"}).status_code == 200
    assert sandbox.payment(payment_id)["status"] == "succeeded"


def test_a_pending_outcome_settles_later(sandbox: Client, postgres: Postgres) -> None:
    response = sandbox.create("tok_pending_approved")
    assert response.status_code == 202
    payment_id = response.get_json()["id"]
    for due, status in ((HOUR / 2, "processing"), (-HOUR / 2, "succeeded")):
        execute(postgres, f"UPDATE sandbox_journal SET settles_at = {moment(due)}")
        look_up_now(sandbox, postgres)
        assert sandbox.payment(payment_id)["status"] == status


# ---- the code ----------------------------------------
#: Who may look at this machine's clock, and why that is not compared with a stored time.
MAY_LOOK = {
    "services/context.py": "identifiers and records",
    "observability/metrics.py": "CloudWatch takes the time of the measurement",
    "server/messages.py": "the Date header",
    "client/listen.py": "shown to a person, and compared by a receiver on the same machine",
    "server/certificate.py": "clients compare the certificate with their own clocks",
    "processors/stripe.py": "a deadline of this process, in this process",
    "processors/stripe_api.py": "a deadline of this process, in this process",
    "processors/stripe_snapshots.py": "a deadline of this process, in this process",
    "processors/stripe_webhooks.py": "compared with the processor's clock, within five minutes",
    "repositories/provisioning.py": "identifiers",
}
_CLOCKS = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}


def test_nothing_else_looks_at_a_clock() -> None:
    source = Path(__file__).parents[3] / "service" / "payments"
    found = {
        str(file.relative_to(source))
        for file in source.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and (getattr(node.value, "id", ""), node.attr) in _CLOCKS
    }
    assert found - set(MAY_LOOK) == set()


def test_a_clock_makes_no_decision() -> None:
    """`Context.now` is never an operand of a comparison or a difference, outside the webhooks' own files."""
    source = Path(__file__).parents[3] / "service" / "payments"

    def reads_clock(node: ast.AST) -> bool:
        return any(
            isinstance(inner, ast.Call) and ast.unparse(inner.func).endswith("context.now") for inner in ast.walk(node)
        )

    found: list[Any] = [
        f"{file.relative_to(source)}:{node.lineno}"
        for file in source.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.Compare, ast.BinOp)) and reads_clock(node)
    ]
    assert [place for place in found if "webhook" not in place] == []
