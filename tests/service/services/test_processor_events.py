"""Messages of processors: believed only about which object to ask for, kept once, and never lost by coming early."""

import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from werkzeug.test import TestResponse

from payments.processors import stripe_api
from payments.processors.stripe import StripeProcessor
from payments.repositories.database import Database
from payments.services import inbox
from payments.worker.processor_events import EventPool
from tests.service.api import Client, context_with, recover_due, sandbox_context
from tests.service.fixtures import ApiKey, Postgres
from tests.service.processors.stripe_dashboard import StripeDashboard
from tests.service.processors.stripe_standin import API_KEY, WEBHOOK_SECRET, StripeStandin, stripe_standin

_PATH = "/v1/processors/stripe/webhooks"


@pytest.fixture(scope="module")
def server() -> Iterator[StripeStandin]:
    with stripe_standin(StripeDashboard()) as found:
        yield found


@pytest.fixture
def standin(server: StripeStandin, monkeypatch: pytest.MonkeyPatch) -> StripeStandin:
    monkeypatch.setattr(stripe_api, "_RETRY_DELAY", 0.001)
    server.faults.clear()
    return server


@pytest.fixture
def shop(database: Database, key: ApiKey, standin: StripeStandin) -> Client:
    processor = StripeProcessor(api_key=API_KEY, webhook_secret=WEBHOOK_SECRET, base_url=standin.url)
    return Client(context_with(database, processor), key)


def _send(client: Client, message: tuple[bytes, dict[str, str]]) -> TestResponse:
    body, headers = message
    return client.http().post(_PATH, data=body, headers=headers)


def _inbox(postgres: Postgres) -> list[tuple[object, ...]]:
    with psycopg.connect(postgres.superuser) as connection:
        return connection.execute("SELECT event_id, handled_at IS NOT NULL FROM processor_inbox").fetchall()


def _intent(postgres: Postgres, payment_id: str) -> str:
    with psycopg.connect(postgres.superuser) as connection:
        row = connection.execute(
            "SELECT processor_reference FROM attempts WHERE payment_id = %s AND kind = 'payment'", [payment_id]
        ).fetchone()
    assert row is not None
    return str(row[0])


def _end_deadlines(postgres: Postgres) -> None:
    """Let deadlines expire: former holders can no longer be sending."""
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE attempts SET deadline_at = now() - interval '1 second'")


def _recover(client: Client) -> None:
    while recover_due(client.context):
        pass
    _follow(client)


def _follow(client: Client) -> None:
    """Look at what the received events are about."""
    pool = EventPool(client.context, "stripe")
    pool.run()
    pool.close()


def test_an_event_settles_a_pending_payment_soon(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    created = shop.create("pm_processing")
    assert created.status_code == 202
    payment = created.get_json()["id"]
    intent = _intent(postgres, payment)
    _recover(shop)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE attempts SET next_look_at = now() + interval '1 hour'")
    _end_deadlines(postgres)
    standin.settle(intent, approve=True)
    response = _send(shop, standin.webhook("payment_intent.succeeded", standin.intents[intent]))
    assert (response.status_code, response.get_json()) == (200, {"received": True})
    _recover(shop)
    assert shop.payment(payment)["status"] == "succeeded"
    assert [known for _, known in _inbox(postgres)] == [True]


def test_the_content_of_an_event_is_not_trusted(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    payment = shop.create("pm_processing").get_json()["id"]
    _end_deadlines(postgres)
    claim = {**standin.intents[_intent(postgres, payment)], "status": "succeeded", "amount_received": 1000}
    assert _send(shop, standin.webhook("payment_intent.succeeded", claim)).status_code == 200
    _recover(shop)
    assert shop.payment(payment)["status"] == "processing"


def test_an_event_is_handled_once(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    payment = shop.create("pm_card_visa").get_json()["id"]
    message = standin.webhook("payment_intent.succeeded", standin.intents[_intent(postgres, payment)])
    assert [_send(shop, message).status_code for _ in range(3)] == [200, 200, 200]
    assert len(_inbox(postgres)) == 1
    assert shop.event_types(payment) == ["payment.succeeded"]


def test_events_about_other_objects_are_dropped(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    assert _send(shop, standin.webhook("customer.created", {"object": "customer", "id": "cus_1"})).status_code == 200
    assert [known for _, known in _inbox(postgres)] == [True]
    assert not inbox.clean_up(shop.context)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE processor_inbox SET received_at = now() - interval '31 days'")
    assert inbox.clean_up(shop.context)
    assert _inbox(postgres) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body, headers: (body + b" ", headers),
        lambda body, headers: (body, {}),
        lambda body, headers: (body, {"Stripe-Signature": headers["Stripe-Signature"] + "0"}),
        lambda body, headers: (b"", headers),
    ],
    ids=["other body", "no signature", "other signature", "no body"],
)
def test_a_forged_event_is_refused(shop: Client, standin: StripeStandin, postgres: Postgres, spoil: Any) -> None:
    body, headers = standin.webhook("payment_intent.succeeded", {"object": "payment_intent", "id": "pi_1"})
    response = _send(shop, spoil(body, headers))
    assert (response.status_code, response.get_json(force=True)["code"]) == (400, "signature_invalid")
    assert _inbox(postgres) == []


def test_a_replay_after_five_minutes_is_refused(shop: Client, standin: StripeStandin) -> None:
    old = standin.webhook("payment_intent.succeeded", {"object": "payment_intent", "id": "pi_1"}, age=400)
    assert _send(shop, old).status_code == 400


def test_an_event_that_is_too_large_gets_413(shop: Client) -> None:
    assert _send(shop, (b"x" * 65537, {"Stripe-Signature": "t=1,v1=0"})).status_code == 413


def test_an_unknown_processor_gets_404(
    database: Database, journal: Database, key: ApiKey, standin: StripeStandin
) -> None:
    client = Client(sandbox_context(database, journal), key)
    assert _send(client, standin.webhook("x", {"object": "payment_intent", "id": "pi_1"})).status_code == 404
    assert client.http().post("/v1/processors/sandbox/webhooks", data=b"{}").status_code == 404


# ---- payments through Stripe, end to end ----------------------------------------------------------------------------
def test_a_stripe_payment_is_captured_and_refunded(shop: Client, standin: StripeStandin) -> None:
    created = shop.create("pm_card_visa", capture_method="manual")
    assert (created.status_code, created.get_json()["status"]) == (201, "requires_capture")
    payment = created.get_json()["id"]
    captured = shop.json(shop.post(f"/v1/payments/{payment}/capture", {"amount": 400}))
    assert (captured["status"], captured["amount_captured"]) == ("succeeded", 400)
    refund = shop.post(f"/v1/payments/{payment}/refunds", {"amount": 150})
    assert (refund.status_code, refund.get_json()["status"]) == (201, "succeeded")
    assert shop.event_types(payment) == ["payment.authorized", "payment.succeeded", "refund.succeeded"]


def test_stripe_does_not_support_multiple_captures(shop: Client) -> None:
    payment = shop.create("pm_card_visa", capture_method="manual").get_json()["id"]
    response = shop.post(f"/v1/payments/{payment}/capture", {"amount": 400, "final": False})
    assert (response.status_code, response.get_json(force=True)["code"]) == (422, "not_supported")


def test_a_decline_contains_code_and_advice(shop: Client) -> None:
    response = shop.create("pm_card_chargeDeclinedInsufficientFunds")
    problem = response.get_json(force=True)
    assert response.status_code == 402
    assert (problem["decline_code"], problem["advice"]) == ("insufficient_funds", "try_again_later")
    assert problem["payment"]["status"] == "failed"


def test_a_token_of_another_processor_is_refused(shop: Client, standin: StripeStandin) -> None:
    before = standin.executed["create"]
    assert shop.create("tok_visa").status_code == 422
    assert standin.executed["create"] == before


_FAULTS = ["lost", "before", "500", "500-after"]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(_FAULTS, _FAULTS)))
def test_a_payment_is_charged_once(
    shop: Client, standin: StripeStandin, postgres: Postgres, first: str, second: str
) -> None:
    charged = standin.charged()
    standin.faults.update(confirm=[first, second], retrieve=[second, first])
    created = shop.create("pm_card_visa")
    assert created.status_code in {201, 202}
    payment = created.get_json()["id"]
    standin.faults.clear()
    _end_deadlines(postgres)
    with psycopg.connect(postgres.superuser) as connection:
        connection.execute("UPDATE attempts SET next_look_at = now() WHERE status = 'open'")
    _recover(shop)
    status = shop.payment(payment)["status"]
    assert status in {"succeeded", "failed"}
    assert standin.charged() - charged == (1000 if status == "succeeded" else 0)


def test_a_3d_secure_payment_ends_after_the_action(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    created = shop.create("pm_card_authenticationRequired", return_url="https://shop.example/back").get_json()
    intent = _intent(postgres, created["id"])
    assert created["next_action"]["redirect_to_url"]["url"] == f"{standin.url}/3ds/{intent}"
    standin.complete_3ds(intent, approve=True)
    _end_deadlines(postgres)
    assert _send(shop, standin.webhook("payment_intent.succeeded", standin.intents[intent])).status_code == 200
    _recover(shop)
    assert shop.payment(created["id"])["status"] == "succeeded"


def test_a_refund_that_fails_after_success_is_reversed(
    shop: Client, standin: StripeStandin, postgres: Postgres
) -> None:
    payment = shop.create("pm_card_visa").get_json()["id"]
    refund = shop.json(shop.post(f"/v1/payments/{payment}/refunds", {"amount": 300}))
    before = shop.balances()
    (found,) = [item for item in standin.refunds.values() if item["payment_intent"] == _intent(postgres, payment)]
    found.update(status="failed", failure_reason="expired_or_canceled_card")
    _end_deadlines(postgres)
    assert _send(shop, standin.webhook("refund.failed", found)).status_code == 200
    _recover(shop)
    assert shop.json(shop.get(f"/v1/refunds/{refund['id']}"))["status"] == "failed"
    assert shop.payment(payment)["amount_refunded"] == 0
    assert shop.balances()["merchant_payable"] == before["merchant_payable"] + 300
    assert shop.event_types(payment)[-1] == "refund.failed"


def test_an_event_of_the_other_mode_settles_nothing(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    payment = shop.create("pm_processing").get_json()["id"]
    body, _ = standin.webhook("payment_intent.succeeded", standin.intents[_intent(postgres, payment)])
    event = {**json.loads(body), "livemode": True}
    raw, stamp = json.dumps(event).encode(), int(time.time())
    digest = hmac.new(WEBHOOK_SECRET.encode(), f"{stamp}.".encode() + raw, hashlib.sha256).hexdigest()
    assert _send(shop, (raw, {"Stripe-Signature": f"t={stamp},v1={digest}"})).status_code == 200
    _follow(shop)
    assert shop.payment(payment)["status"] == "processing"
    with psycopg.connect(postgres.superuser) as connection:
        found = connection.execute("SELECT state, reason FROM processor_inbox").fetchall()
    assert found == [("not_ours", "it belongs to the other mode")]
