"""The outcome table of the API: one case per row, checked over HTTP and in the ledger."""

from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from payments.domain.outcomes import Advice
from payments.repositories.database import Database
from payments.services import presentation
from tests.service.api import Client, recover_due, sandbox_context
from tests.service.fixtures import ApiKey, Postgres

#: 2.9 % of 1000.
CAPTURED = [("processor_receivable", "merchant_payable", 1000), ("merchant_payable", "platform_fees", 29)]
REFUNDED = ("merchant_payable", "processor_receivable", 1000)


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def settle_open_attempts(client: Client, postgres: Postgres) -> None:
    """Make every open attempt due, let the sandbox decide what is pending, and run the worker's look-ups."""
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("UPDATE attempts SET next_look_at = now() WHERE status = 'open'")
        connection.execute("UPDATE sandbox_journal SET settles_at = now() WHERE settles_at IS NOT NULL")
    recover_due(client.context)


@dataclass(frozen=True, kw_only=True)
class Row:
    """The response to creating a payment with ``token``, and its consequences."""

    token: str
    capture_method: str = "automatic"
    status: int
    payment: str
    events: tuple[str, ...]
    ledger: tuple[tuple[str, str, int], ...] = ()
    #: After the worker's look-up, for outcomes that were open.
    settled: str | None = None
    settled_events: tuple[str, ...] = ()
    settled_ledger: tuple[tuple[str, str, int], ...] = ()
    settled_status: int | None = None


CREATE = {
    "automatic, approved": Row(
        token="tok_visa", status=201, payment="succeeded", events=("payment.succeeded",), ledger=tuple(CAPTURED)
    ),
    "manual, approved": Row(
        token="tok_visa",
        capture_method="manual",
        status=201,
        payment="requires_capture",
        events=("payment.authorized",),
    ),
    "3-D Secure": Row(token="tok_3ds", status=201, payment="requires_action", events=("payment.requires_action",)),
    "declined": Row(token="tok_declined", status=402, payment="failed", events=("payment.failed",)),
    "not enough money": Row(token="tok_insufficient_funds", status=402, payment="failed", events=("payment.failed",)),
    "certainly not done": Row(token="tok_processor_error", status=402, payment="failed", events=("payment.failed",)),
    "unknown, then approved": Row(
        token="tok_lost_approved",
        status=202,
        payment="processing",
        events=("payment.processing",),
        settled="succeeded",
        settled_events=("payment.processing", "payment.succeeded"),
        settled_ledger=tuple(CAPTURED),
        settled_status=201,
    ),
    "unknown, then declined": Row(
        token="tok_lost_declined",
        status=202,
        payment="processing",
        events=("payment.processing",),
        settled="failed",
        settled_events=("payment.processing", "payment.failed"),
        settled_status=402,
    ),
    "pending, then approved": Row(
        token="tok_pending_approved",
        capture_method="manual",
        status=202,
        payment="processing",
        events=("payment.processing",),
        settled="requires_capture",
        settled_events=("payment.processing", "payment.authorized"),
        settled_status=201,
    ),
    "pending, then declined": Row(
        token="tok_pending_declined",
        status=202,
        payment="processing",
        events=("payment.processing",),
        settled="failed",
        settled_events=("payment.processing", "payment.failed"),
        settled_status=402,
    ),
}


@pytest.mark.parametrize("row", CREATE.values(), ids=CREATE)
def test_create(client: Client, postgres: Postgres, row: Row) -> None:
    response = client.create(row.token, key="one", capture_method=row.capture_method)
    assert response.status_code == row.status, response.text
    body = response.get_json()
    payment_id = (body["payment"] if row.status == 402 else body)["id"]
    assert client.payment(payment_id)["status"] == row.payment
    assert client.event_types(payment_id) == list(row.events)
    assert client.entries(payment_id) == list(row.ledger)
    replay = client.create(row.token, key="one", capture_method=row.capture_method)
    assert (replay.status_code, replay.headers["Idempotency-Replayed"]) == (row.status, "true")
    assert replay.data == response.data
    if row.settled:
        settle_open_attempts(client, postgres)
        assert client.payment(payment_id)["status"] == row.settled
        assert client.event_types(payment_id) == list(row.settled_events)
        assert client.entries(payment_id) == list(row.settled_ledger)
        replay = client.create(row.token, key="one", capture_method=row.capture_method)
        assert replay.status_code == row.settled_status


@dataclass(frozen=True, kw_only=True)
class Step:
    """The response to one operation on a payment created with ``token``, and its consequences."""

    token: str
    capture_method: str = "manual"
    path: str
    body: dict[str, object] | None = None
    #: Preceding operations, all of which succeed.
    before: tuple[tuple[str, dict[str, object]], ...] = ()
    status: int
    payment: str
    #: Events of this step.
    events: tuple[str, ...]
    ledger: tuple[tuple[str, str, int], ...] = ()
    settled: str | None = None
    settled_events: tuple[str, ...] = ()
    settled_ledger: tuple[tuple[str, str, int], ...] = ()
    settled_status: int | None = None


PART = [("processor_receivable", "merchant_payable", 400), ("merchant_payable", "platform_fees", 12)]
REST = [("processor_receivable", "merchant_payable", 600), ("merchant_payable", "platform_fees", 17)]
OPERATIONS = {
    "capture done, final": Step(
        token="tok_visa",
        path="capture",
        status=200,
        payment="succeeded",
        events=("payment.succeeded",),
        ledger=tuple(CAPTURED),
    ),
    "capture done, final, in part": Step(
        token="tok_visa",
        path="capture",
        body={"amount": 400},
        status=200,
        payment="succeeded",
        events=("payment.succeeded",),
        ledger=tuple(PART),
    ),
    "capture done, not final": Step(
        token="tok_visa",
        path="capture",
        body={"amount": 400, "final": False},
        status=200,
        payment="partially_captured",
        events=("payment.partially_captured",),
        ledger=tuple(PART),
    ),
    "capture done, not final, then all the rest": Step(
        token="tok_visa",
        path="capture",
        before=(("capture", {"amount": 400, "final": False}),),
        status=200,
        payment="succeeded",
        events=("payment.succeeded",),
        ledger=tuple(REST),
    ),
    "capture refused": Step(
        token="tok_capture_declined",
        path="capture",
        status=402,
        payment="requires_capture",
        events=("payment.capture_failed",),
    ),
    "capture refused, expired": Step(
        token="tok_capture_expired",
        path="capture",
        status=402,
        payment="canceled",
        events=("payment.capture_failed", "payment.canceled"),
    ),
    "capture unknown": Step(
        token="tok_capture_lost",
        path="capture",
        status=202,
        payment="requires_capture",
        events=(),
        settled="succeeded",
        settled_events=("payment.succeeded",),
        settled_ledger=tuple(CAPTURED),
        settled_status=200,
    ),
    "void done": Step(token="tok_visa", path="void", status=200, payment="canceled", events=("payment.canceled",)),
    "void done, partly captured": Step(
        token="tok_visa",
        path="void",
        before=(("capture", {"amount": 400, "final": False}),),
        status=200,
        payment="succeeded",
        events=("payment.succeeded",),
    ),
    "void while the customer is to act": Step(
        token="tok_3ds", path="void", status=200, payment="canceled", events=("payment.canceled",)
    ),
    "void refused": Step(
        token="tok_void_declined", path="void", status=402, payment="requires_capture", events=("payment.void_failed",)
    ),
    "void unknown": Step(
        token="tok_void_lost",
        path="void",
        status=202,
        payment="requires_capture",
        events=(),
        settled="canceled",
        settled_events=("payment.canceled",),
        settled_status=200,
    ),
    "refund done": Step(
        token="tok_visa",
        capture_method="automatic",
        path="refunds",
        status=201,
        payment="succeeded",
        events=("refund.succeeded",),
        ledger=(REFUNDED,),
    ),
    "refund done, in part": Step(
        token="tok_visa",
        capture_method="automatic",
        path="refunds",
        body={"amount": 1, "reason": "kindness"},
        status=201,
        payment="succeeded",
        events=("refund.succeeded",),
        ledger=(("merchant_payable", "processor_receivable", 1),),
    ),
    "refund unknown": Step(
        token="tok_refund_lost",
        capture_method="automatic",
        path="refunds",
        status=202,
        payment="succeeded",
        events=("refund.pending",),
        settled="succeeded",
        settled_events=("refund.pending", "refund.succeeded"),
        settled_ledger=(REFUNDED,),
        settled_status=201,
    ),
    "refund pending": Step(
        token="tok_refund_pending",
        capture_method="automatic",
        path="refunds",
        status=202,
        payment="succeeded",
        events=("refund.pending",),
        settled="succeeded",
        settled_events=("refund.pending", "refund.succeeded"),
        settled_ledger=(REFUNDED,),
        settled_status=201,
    ),
    "refund refused": Step(
        token="tok_refund_declined",
        capture_method="automatic",
        path="refunds",
        status=402,
        payment="succeeded",
        events=("refund.failed",),
    ),
}


def test_each_payment_is_counted_in_every_state_of_its_creation(client: Client, postgres: Postgres) -> None:
    """Dashboards show the rate of payments and the share that fails: operations on payments are not among them."""

    def counted() -> list[tuple[str, int]]:
        return [
            (found["Outcome"], found["Payments"]) for found in client.context.metrics.drain() if "Payments" in found
        ]

    payment = client.json(client.create(capture_method="manual"))["id"]
    assert counted() == [("requires_capture", 1)]
    client.json(client.post(f"/v1/payments/{payment}/capture"))
    client.json(client.post(f"/v1/payments/{payment}/refunds", {"amount": 1}))
    assert counted() == []
    client.create("tok_lost_approved")
    assert counted() == [("processing", 1)]
    settle_open_attempts(client, postgres)
    assert counted() == [("succeeded", 1)]


@pytest.mark.parametrize("step", OPERATIONS.values(), ids=OPERATIONS)
def test_operation(client: Client, postgres: Postgres, step: Step) -> None:
    payment_id = client.json(client.create(step.token, capture_method=step.capture_method))["id"]
    path = f"/v1/payments/{payment_id}"
    for name, body in step.before:
        client.json(client.post(f"{path}/{name}", body))
    events_before, entries_before = len(client.event_types(payment_id)), len(client.entries(payment_id))

    def happened() -> tuple[tuple[str, ...], tuple[tuple[str, str, int], ...]]:
        return tuple(client.event_types(payment_id)[events_before:]), tuple(client.entries(payment_id)[entries_before:])

    response = client.post(f"{path}/{step.path}", step.body, key="one")
    assert response.status_code == step.status, response.text
    assert client.payment(payment_id)["status"] == step.payment
    assert happened() == (step.events, step.ledger)
    if step.status == 202:
        assert_open(client, payment_id, step)
    if step.status == 402:
        assert_refused(client, payment_id, step, response.get_json(force=True))
    replay = client.post(f"{path}/{step.path}", step.body, key="one")
    assert (replay.status_code, replay.data) == (step.status, response.data)
    if step.settled:
        settle_open_attempts(client, postgres)
        payment = client.payment(payment_id)
        assert payment["status"] == step.settled
        assert (payment["pending_operation"], payment["amount_refund_pending"]) == (None, 0)
        assert happened() == (step.settled_events, step.settled_ledger)
        assert client.post(f"{path}/{step.path}", step.body, key="one").status_code == step.settled_status


def assert_refused(client: Client, payment_id: str, step: Step, problem: dict[str, Any]) -> None:
    """A refusal contains what was refused as it is now: the payment, and the refund if it was one."""
    assert problem["payment"] == client.payment(payment_id)
    refunds = client.json(client.get(f"/v1/payments/{payment_id}/refunds"))["data"]
    assert problem.get("refund") == (refunds[0] if step.path == "refunds" else None)


def assert_open(client: Client, payment_id: str, step: Step) -> None:
    """An unknown outcome leaves the status unchanged, and shows in the pending operation or refund."""
    payment = client.payment(payment_id)
    if step.path == "refunds":
        assert (payment["amount_refund_pending"], payment["amount_refunded"]) == (1000, 0)
        refund = client.json(client.get(f"/v1/payments/{payment_id}/refunds"))["data"][0]
        assert refund["status"] == "pending"
        assert client.json(client.get(f"/v1/refunds/{refund['id']}")) == refund
    else:
        assert payment["pending_operation"] == step.path
        other = client.post(f"/v1/payments/{payment_id}/capture")
        assert (other.status_code, other.get_json()["code"]) == (409, "operation_in_progress")


def test_a_refund_that_fails_after_success_is_reversed(client: Client, postgres: Postgres) -> None:
    payment_id = client.json(client.create("tok_visa"))["id"]
    refund = client.json(client.post(f"/v1/payments/{payment_id}/refunds", {"amount": 300}))
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("UPDATE sandbox_journal SET outcome = 'declined' WHERE kind = 'refund'")
        # As the previous release does when it hears of the refund.
        connection.execute(
            "UPDATE attempts SET status = 'open', settled_at = NULL WHERE operation_id = %s", [refund["id"]]
        )
    settle_open_attempts(client, postgres)
    payment = client.payment(payment_id)
    assert (payment["amount_refunded"], payment["status"]) == (0, "succeeded")
    assert client.json(client.get(f"/v1/refunds/{refund['id']}"))["status"] == "failed"
    assert client.event_types(payment_id) == ["payment.succeeded", "refund.succeeded", "refund.failed"]
    assert client.entries(payment_id)[2:] == [
        ("merchant_payable", "processor_receivable", 300),
        ("processor_receivable", "merchant_payable", 300),
    ]


ILLEGAL = {
    "capture of succeeded": ("tok_visa", "automatic", "capture", "succeeded", ["refund"]),
    "void of succeeded": ("tok_visa", "automatic", "void", "succeeded", ["refund"]),
    "refund of authorized": ("tok_visa", "manual", "refunds", "requires_capture", ["capture", "void"]),
    "capture of failed": ("tok_declined", "automatic", "capture", "failed", []),
    "refund of failed": ("tok_declined", "automatic", "refunds", "failed", []),
    "capture of requires_action": ("tok_3ds", "manual", "capture", "requires_action", ["void"]),
    "capture of processing": ("tok_lost_approved", "manual", "capture", "processing", []),
    "void of processing": ("tok_lost_approved", "manual", "void", "processing", []),
}


@pytest.mark.parametrize(("token", "method", "path", "state", "allowed"), ILLEGAL.values(), ids=ILLEGAL)
def test_illegal_transition(client: Client, token: str, method: str, path: str, state: str, allowed: list[str]) -> None:
    body = client.create(token, capture_method=method).get_json()
    payment_id = body.get("payment", body)["id"]
    response = client.post(f"/v1/payments/{payment_id}/{path}", key="one")
    problem = response.get_json()
    assert (response.status_code, problem["code"]) == (409, "illegal_transition")
    assert (problem["state"], problem["allowed"]) == (state, allowed)
    again = client.post(f"/v1/payments/{payment_id}/{path}", {"unknown": 1}, key="one")
    assert again.status_code == 422, "nothing was kept under the key"


@pytest.mark.parametrize(("path", "method"), [("capture", "manual"), ("refunds", "automatic")])
def test_more_than_is_left_is_refused(client: Client, path: str, method: str) -> None:
    payment_id = client.json(client.create(capture_method=method))["id"]
    response = client.post(f"/v1/payments/{payment_id}/{path}", {"amount": 1001})
    assert (response.status_code, response.get_json()["errors"][0]["pointer"]) == (422, "#/amount")
    assert client.payment(payment_id)["amount_refund_pending"] == 0


def test_a_refusal_contains_code_advice_and_payment(client: Client) -> None:
    problem = client.create("tok_insufficient_funds").get_json()
    assert (problem["code"], problem["decline_code"]) == ("payment_failed", "insufficient_funds")
    assert (problem["advice"], problem["retryable"]) == ("try_again_later", True)
    assert problem["payment"]["last_error"]["decline_code"] == "insufficient_funds"
    assert problem["payment"]["status"] == "failed"


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        (
            "tok_insufficient_funds",
            "declined: insufficient_funds. The same request may succeed later, with a new Idempotency-Key.",
        ),
        ("tok_processor_error", "failed without doing anything: processing_error. The same request may"),
        ("tok_declined", "declined: generic_decline. Ask the customer to contact the card issuer"),
        ("tok_expired_card", "declined: expired_card. Ask the customer to correct the card details."),
        ("tok_fraudulent", "declined: fraudulent. Do not retry."),
    ],
    ids=["funds", "error", "generic", "expired", "fraudulent"],
)
def test_refusal_advice(client: Client, token: str, detail: str) -> None:
    assert client.create(token).get_json()["detail"].startswith(f"The processor {detail}")


def test_every_advice_has_a_text() -> None:
    assert set(presentation.ADVICE_TEXTS) == set(Advice)
