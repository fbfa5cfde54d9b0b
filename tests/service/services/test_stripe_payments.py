"""Payments through Stripe over the API: what cannot be is refused at once, and every refusal has a way out."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from payments.processors import stripe_api
from payments.processors.stripe import StripeProcessor
from payments.repositories.database import Database
from payments.services import housekeeping, reconciliation
from payments.services.context import Context
from payments.services.reconciliation import ReportError, SettlementReport
from payments.services.recovery import void_expired_authorizations
from tests.service.api import Client, context_with, recover_due
from tests.service.fixtures import ApiKey, Postgres
from tests.service.processors.stripe_rules import invalid
from tests.service.processors.stripe_standin import API_KEY, WEBHOOK_SECRET, StripeStandin, stripe_standin
from tests.service.scripted import execute


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[StripeStandin]:
    monkeypatch.setattr(stripe_api, "_RETRY_DELAY", 0.001)
    with stripe_standin() as found:
        yield found


@pytest.fixture
def shop(database: Database, key: ApiKey, standin: StripeStandin) -> Client:
    return Client(_process(database, standin), key)


def _process(database: Database, standin: StripeStandin) -> Context:
    """The context of a process: each has a circuit breaker of its own."""
    return context_with(database, StripeProcessor(api_key=API_KEY, webhook_secret=WEBHOOK_SECRET, base_url=standin.url))


def _recover(worker: Context, postgres: Postgres) -> None:
    """Let the worker look everything up, as if the holders' deadlines had passed."""
    for _ in range(4):
        execute(postgres, "UPDATE attempts SET deadline_at = now() - interval '1 s', next_look_at = now()")
        while recover_due(worker):
            pass


def _open_attempts(postgres: Postgres) -> int:
    ((count,),) = execute(postgres, "SELECT count(*) FROM attempts WHERE status = 'open'")
    return int(count)


def _problem(response: Any) -> tuple[int, str]:
    """The status and the place of the first error."""
    return response.status_code, response.get_json(force=True)["errors"][0]["pointer"]


# ---- amounts
@pytest.mark.parametrize(
    ("amount", "currency", "place"),
    [(49, "EUR", "#/amount"), (5124, "KWD", "#/amount"), (150, "MGA", "#/amount"), (1000, "IQD", "#/currency")],
)
def test_impossible_charges(
    shop: Client, standin: StripeStandin, postgres: Postgres, amount: int, currency: str, place: str
) -> None:
    response = shop.create("pm_card_visa", amount, currency=currency)
    assert _problem(response) == (422, place)
    assert execute(postgres, "SELECT count(*) FROM payments") == [(0,)]
    assert standin.arrived["create"] == 0


def test_impossible_operations(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    payment = shop.json(shop.create("pm_card_visa", 9000, currency="KWD", capture_method="manual"))["id"]
    assert _problem(shop.post(f"/v1/payments/{payment}/capture", {"amount": 5124})) == (422, "#/amount")
    shop.json(shop.post(f"/v1/payments/{payment}/capture", {"amount": 5120}))
    assert _problem(shop.post(f"/v1/payments/{payment}/refunds", {"amount": 11})) == (422, "#/amount")
    assert execute(postgres, "SELECT count(*) FROM operations") == [(1,)]
    assert shop.json(shop.post(f"/v1/payments/{payment}/refunds"))["amount"] == 5120
    assert standin.charged_in("kwd") == 5.12


@pytest.mark.parametrize("code", ["CLF", "UYW", "XAU", "USN"])
def test_funds_and_metals_are_422(shop: Client, code: str) -> None:
    assert _problem(shop.create("pm_card_visa", 100_000, currency=code)) == (422, "#/currency")


def test_reports_are_in_stripes_units(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    shop.json(shop.create("pm_card_visa", 1500, currency="ISK"))
    (intent,) = standin.intents.values()
    day = datetime.now(UTC).date()

    def compare(name: str, amount: int) -> list[str]:
        header = ",".join(reconciliation.COLUMNS)
        lines = reconciliation.parse([header, f"charge,{intent['id']},ISK,{amount},4500,{day}"], processor="stripe")
        report = SettlementReport(processor="stripe", livemode=False, name=name, actor="ann")
        return [row["difference"] for row in reconciliation.reconcile(shop.context, report, lines)]

    assert intent["amount_received"] == 150_000
    assert compare("theirs", intent["amount_received"]) == []
    execute(postgres, "DELETE FROM settlement_lines")
    assert compare("ours", 1500) == ["amount_differs"]


@pytest.mark.parametrize("line", ["charge,pi_1,ISK,150,0,2026-11-28", "charge,pi_1,MGA,999999999999,0,2026-11-28"])
def test_amounts_no_book_has(line: str) -> None:
    with pytest.raises(ReportError, match="Line 2"):
        reconciliation.parse([",".join(reconciliation.COLUMNS), line], processor="stripe")


# ---- refusals that prove the end
def test_a_void_after_3d_secure_was_completed_is_refused(
    shop: Client, standin: StripeStandin, postgres: Postgres
) -> None:
    created = shop.create("pm_card_authenticationRequired", return_url="https://shop.example/back").get_json()
    (intent,) = standin.intents
    standin.complete_3ds(intent, approve=True)
    response = shop.post(f"/v1/payments/{created['id']}/void")
    problem = response.get_json(force=True)
    assert (response.status_code, problem["decline_code"]) == (402, "already_captured")
    assert problem["payment"]["pending_operation"] is None
    _recover(shop.context, postgres)
    assert shop.payment(created["id"])["status"] == "succeeded", "the payment follows the truth"
    assert shop.event_types(created["id"])[-1] == "payment.succeeded"
    assert _open_attempts(postgres) == 0


def test_the_worker_needs_no_message_to_learn_it(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    """The refused void alone makes the payment due, which otherwise waits a day for its customer."""
    shop.create("pm_card_authenticationRequired", return_url="https://shop.example/back")
    (intent,) = standin.intents
    standin.complete_3ds(intent, approve=True)
    (payment,) = (row[0] for row in execute(postgres, "SELECT id FROM payments"))
    shop.post(f"/v1/payments/{payment}/void")
    soon = "SELECT next_look_at <= greatest(now(), deadline_at) FROM attempts WHERE kind = 'payment'"
    assert execute(postgres, soon) == [(True,)]


@pytest.mark.parametrize("lost", [[], ["lost", "lost"], ["before", "before"]], ids=["answered", "lost", "never sent"])
def test_a_void_of_3d_secure_ends(shop: Client, standin: StripeStandin, postgres: Postgres, lost: list[str]) -> None:
    payment = shop.create("pm_card_authenticationRequired", return_url="https://shop.example/back").get_json()["id"]
    standin.faults["cancel"] = list(lost)
    assert shop.post(f"/v1/payments/{payment}/void").status_code in {200, 202}
    _recover(shop.context, postgres)
    found = shop.payment(payment)
    assert (found["status"], found["pending_operation"]) == ("canceled", None)
    assert _open_attempts(postgres) == 0


@pytest.mark.parametrize("operation", ["void", "capture"])
def test_captured_elsewhere(shop: Client, standin: StripeStandin, postgres: Postgres, operation: str) -> None:
    payment = shop.json(shop.create("pm_card_visa", capture_method="manual"))["id"]
    (intent,) = standin.intents
    standin.capture(intent, {"amount_to_capture": "700"})
    response = shop.post(f"/v1/payments/{payment}/{operation}")
    assert (response.status_code, response.get_json(force=True)["decline_code"]) == (402, "already_captured")
    assert shop.payment(payment)["pending_operation"] is None
    assert execute(postgres, "SELECT count(*) FROM attempts WHERE kind <> 'payment' AND status = 'open'") == [(0,)]


def test_a_refused_expiry_is_not_repeated(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    payment = shop.json(shop.create("pm_card_visa", capture_method="manual"))["id"]
    (intent,) = standin.intents
    standin.capture(intent, {"amount_to_capture": "700"})
    execute(postgres, "UPDATE payments SET expires_at = now() - interval '1 s'")
    assert void_expired_authorizations(shop.context)
    _recover(shop.context, postgres)
    assert not void_expired_authorizations(shop.context)
    assert shop.event_types(payment).count("payment.void_failed") == 1


# ---- refunds
def test_a_refund_of_a_disputed_charge_is_refused(shop: Client, standin: StripeStandin) -> None:
    payment = shop.json(shop.create("pm_card_visa"))["id"]
    standin.disputed.update(standin.intents)
    response = shop.post(f"/v1/payments/{payment}/refunds")
    problem = response.get_json(force=True)
    assert (response.status_code, problem["decline_code"], problem["advice"]) == (402, "disputed", "do_not_retry")
    assert shop.payment(payment)["amount_refund_pending"] == 0


def test_a_refund_made_elsewhere_is_an_answer(shop: Client, standin: StripeStandin) -> None:
    payment = shop.json(shop.create("pm_card_visa"))["id"]
    (intent,) = standin.intents
    standin.refund("", {"payment_intent": intent})
    response = shop.post(f"/v1/payments/{payment}/refunds")
    assert (response.status_code, response.get_json(force=True)["decline_code"]) == (402, "already_refunded")


# ---- advice
def test_too_small_is_not_try_again_later(shop: Client, standin: StripeStandin) -> None:
    standin.faults["create"] = [invalid("Amount must be at least $0.50 usd", "amount_too_small", param="amount")]
    problem = shop.create("pm_card_visa", 100).get_json(force=True)
    assert (problem["decline_code"], problem["advice"], problem["retryable"]) == (
        "invalid_amount",
        "do_not_retry",
        False,
    )


# ---- our own mistakes
def _break(standin: StripeStandin, how: str) -> None:
    if how == "key":
        standin.api_key = "sk_test_rotated"
    elif how == "permission":
        standin.denied |= {"create", "confirm", "capture", "cancel", "refund"}
    else:
        mistake = invalid("Invalid Stripe API version: 2099-01-01.")
        for call in ("create", "confirm", "capture", "cancel", "refund", "retrieve", "list_refunds"):
            standin.faults[call] = [mistake] * 50


def _mend(standin: StripeStandin) -> None:
    standin.api_key = API_KEY
    standin.denied.clear()
    standin.faults.clear()


def _misconfigured(shop: Client) -> list[int]:
    """What the alarm watches."""
    housekeeping.measure_backlog(shop.context)
    (found,) = [document for document in shop.context.metrics.drain() if "MisconfiguredAttempts" in document]
    return list(found["MisconfiguredAttempts"])


_MISTAKES = pytest.mark.parametrize("how", ["key", "permission", "version"])


@_MISTAKES
def test_a_payment_waits_for_us(shop: Client, standin: StripeStandin, postgres: Postgres, how: str) -> None:
    _break(standin, how)
    created = shop.create("pm_card_visa", key="same")
    assert (created.status_code, created.get_json()["status"]) == (202, "processing")
    _recover(shop.context, postgres)
    assert shop.payment(created.get_json()["id"])["last_error"] is None
    ((outcome,),) = execute(postgres, "SELECT outcome FROM attempts")
    assert outcome == "misconfigured"
    _mend(standin)
    _recover(_process(shop.context.database, standin), postgres)
    assert shop.create("pm_card_visa", key="same").get_json()["status"] == "succeeded"
    assert standin.charged() == 1000


@_MISTAKES
@pytest.mark.parametrize("operation", ["capture", "void", "refund"])
def test_an_operation_waits_for_us(
    shop: Client, standin: StripeStandin, postgres: Postgres, how: str, operation: str
) -> None:
    method = "automatic" if operation == "refund" else "manual"
    payment = shop.json(shop.create("pm_card_visa", capture_method=method))["id"]
    _break(standin, how)
    path = "refunds" if operation == "refund" else operation
    assert shop.post(f"/v1/payments/{payment}/{path}").status_code == 202
    _recover(shop.context, postgres)
    assert _open_attempts(postgres) == 1
    _mend(standin)
    _recover(_process(shop.context.database, standin), postgres)
    found = shop.payment(payment)
    assert (found["pending_operation"], found["amount_refund_pending"], found["last_error"]) == (None, 0, None)
    expected = {"capture": ("succeeded", 0), "void": ("canceled", 0), "refund": ("succeeded", 1000)}
    assert (found["status"], found["amount_refunded"]) == expected[operation]


def test_then_new_payments_are_refused(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    _break(standin, "key")
    statuses = [shop.create("pm_card_visa").status_code for _ in range(7)]
    assert statuses == [202] * 5 + [503] * 2
    assert execute(postgres, "SELECT count(*) FROM payments") == [(5,)]
    assert _misconfigured(shop) == [5]
    _mend(standin)
    _recover(shop.context, postgres)
    assert _misconfigured(shop) == [0], "the alarm ends"
    assert shop.create("pm_card_visa").status_code == 201


def test_a_declined_card_is_no_mistake_of_ours(shop: Client) -> None:
    assert shop.create("pm_card_chargeDeclined").status_code == 402
    assert _misconfigured(shop) == [0]


def test_reference_and_metadata_reach_stripe(shop: Client, standin: StripeStandin) -> None:
    fields: dict[str, Any] = {"reference": "order-6735", "description": "Two books", "metadata": {"order": "6735"}}
    payment = shop.json(shop.create("pm_card_visa", **fields))["id"]
    (intent,) = standin.intents.values()
    assert intent["description"] == "Two books"
    assert {"order": "6735", "reference": "order-6735", "payment_id": payment}.items() <= intent["metadata"].items()
