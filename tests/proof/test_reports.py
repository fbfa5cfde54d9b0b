"""Bug reports of other payment systems, tried against this one: each would be the same mistake here."""

from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug.test import TestResponse

from payments.domain.ids import Prefix, new_id
from payments.repositories.database import Database
from payments.services import recovery
from tests.proof.stage import answer_of
from tests.service.api import Client, recover_due, sandbox_context, start_3ds
from tests.service.fixtures import ApiKey, Postgres
from tests.service.scripted import execute


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


def authorize(client: Client, token: str = "tok_visa") -> str:
    return str(client.json(client.create(token, capture_method="manual"))["id"])


def operate(client: Client, payment: str, operation: str, **body: Any) -> TestResponse:
    return client.post(f"/v1/payments/{payment}/{operation}", body)


def everything(client: Client, path: str, **query: Any) -> list[str]:
    """Read a list to its end."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.json(client.get(path, **query, **cursor))
        found += [item["id"] for item in page["data"]]
        if not page["has_more"]:
            return found
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize(
    "amount", [-5, 0, 0.999, 1.0, "5", True, 10**30], ids=["negative", "zero", "0.999", "1.0", "text", "true", "huge"]
)
def test_a_refund_is_a_positive_whole_number(client: Client, amount: object) -> None:
    """juspay/hyperswitch#11491: a negative refund passed "at most what is left"; killbill/killbill#494: 0.999 became
    1.00 with one processor and 0.99 with another."""
    payment = client.json(client.create())["id"]
    before = client.payment(payment)
    assert operate(client, payment, "refunds", amount=amount).status_code in (400, 422)
    assert client.payment(payment) == before


def test_objects_of_the_same_moment_are_all_listed(
    client: Client, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """activepieces/activepieces#14323: the cursor was a time without a tie-breaker, so of many objects of one second
    the first page was all; stripe/sync-engine-fork#378: a cursor inside a `created` window of one second ended it."""
    moment = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
    object.__setattr__(client.context, "now", lambda: moment)
    made = {client.json(client.create())["id"] for _ in range(7)}
    second = int(moment.timestamp())
    for query in ({}, {"created_gte": second, "created_lt": second + 1}):
        found = everything(client, "/v1/payments", limit=3, **query)
        assert found == sorted(made, reverse=True)
    assert everything(client, "/v1/payments", created_lt=second) == []
    assert everything(client, "/v1/payments", created_gte=second + 1) == []


@pytest.mark.parametrize("moment", ["2026-06-09T00:00:00", "2026-06-09", "1.5", "-1", "1e9", ""])
def test_a_time_that_is_not_understood_is_not_ignored(client: Client, moment: str) -> None:
    """lnbits/lnbits#4014: the filter by time was ignored, and everything returned."""
    assert client.get("/v1/payments", created_gte=moment).status_code == 422


def test_a_partial_capture_leaves_the_rest_usable(client: Client) -> None:
    """Adyen/adyen-magento2#2420: after a partial capture the order could be neither captured, canceled nor refunded."""
    payment = authorize(client)
    assert operate(client, payment, "capture", amount=300, final=False).status_code == 200
    assert operate(client, payment, "refunds", amount=100).status_code == 201
    assert operate(client, payment, "capture", amount=300, final=False).status_code == 200
    assert operate(client, payment, "void").status_code == 200
    assert operate(client, payment, "refunds").status_code == 201
    shown = client.payment(payment)
    assert (shown["status"], shown["amount_captured"], shown["amount_refunded"]) == ("succeeded", 600, 600)


def test_many_parts_cost_the_same_fee_as_one(client: Client) -> None:
    """solidusio-contrib/solidus_product_assembly#43: parts that are rounded one by one miss the whole by a cent."""
    payment = authorize(client)
    for part in (333, 333, 334):
        assert operate(client, payment, "capture", amount=part, final=False).status_code == 200
    for part in (1, 332, 667):
        assert operate(client, payment, "refunds", amount=part).status_code == 201
    assert client.balances() == {"merchant_payable": -29, "platform_fees": 29, "processor_receivable": 0}


def test_a_refund_of_what_is_only_authorized_names_the_void(client: Client) -> None:
    """woocommerce/woocommerce-paypal-payments#293: a refund of an authorization ended in the processor's error."""
    response = operate(client, authorize(client), "refunds")
    assert answer_of(response) == "409 illegal_transition"
    assert response.get_json()["allowed"] == ["capture", "void"]


def test_nothing_is_captured_before_the_customer_has_acted(client: Client) -> None:
    """openfoodfoundation/openfoodnetwork#6909: a capture during 3-D Secure made the payment fail."""
    payment, page = start_3ds(client, capture_method="manual")
    assert answer_of(operate(client, payment, "capture")) == "409 illegal_transition"
    assert client.http().post(page, data={"decision": "approve"}).status_code == 200
    assert operate(client, payment, "capture").status_code == 200


def test_nothing_is_captured_after_the_void(client: Client) -> None:
    """Automattic/woocommerce-payments#5605: a canceled order could still be captured elsewhere."""
    payment = authorize(client)
    assert operate(client, payment, "void").status_code == 200
    assert answer_of(operate(client, payment, "capture")) == "409 illegal_transition"
    assert client.entries(payment) == []


def test_an_authorization_that_expires_is_announced(client: Client, postgres: Postgres) -> None:
    """woocommerce/woocommerce-gateway-stripe#1378, reactioncommerce/reaction#4726: nothing told that the authorization
    had expired, and the capture failed quietly."""
    payment = authorize(client)
    execute(postgres, "UPDATE payments SET expires_at = now()")
    assert recovery.void_expired_authorizations(client.context)
    execute(postgres, "UPDATE attempts SET next_look_at = now() WHERE status = 'open'")
    recover_due(client.context)
    assert client.event_types(payment) == ["payment.authorized", "payment.canceled"]
    assert answer_of(operate(client, payment, "capture")) == "409 illegal_transition"


def test_a_refused_card_needs_a_new_key_and_says_so(client: Client) -> None:
    """checkout/checkout-woocommerce-plugin#361: after a refused card, the next one was sent under the same key."""
    assert client.create("tok_declined", key="order-1").status_code == 402
    assert answer_of(client.create("tok_visa", key="order-1")) == "422 idempotency_mismatch"
    assert answer_of(client.create("tok_declined", key="order-1")) == "402 payment_failed replayed"
    assert client.create("tok_visa", key="order-1-again").status_code == 201


def test_a_key_of_an_invalid_request_is_free(client: Client) -> None:
    """ietf-wg-httpapi/idempotency#3: whether a validation error is kept under the key; here nothing was started."""
    assert client.create(amount=0, key="order-2").status_code == 422
    assert client.create(amount=5, key="order-2").status_code == 201


def test_any_script_survives(client: Client) -> None:
    """Automattic/woocommerce-services#1457: an emoji in the metadata broke the checkout."""
    metadata = {"📦 ключ": "🔐 ทดสอบ e\u0301 \u202e שלום", "empty": ""}
    payment = client.json(
        client.create(metadata=metadata, reference="注文-1", description="\U0001f468\u200d\U0001f469")
    )
    assert client.payment(payment["id"])["metadata"] == metadata
    assert everything(client, "/v1/payments", reference="注文-1") == [payment["id"]]


def test_ids_of_others_are_like_ids_of_nobody(client: Client) -> None:
    """A stranger must not learn from an answer whether an id exists."""
    unknown = new_id(Prefix.PAYMENT, datetime.now(UTC))
    answers = [operate(client, unknown, kind) for kind in ("capture", "void", "refunds")]
    assert {answer_of(answer) for answer in answers} == {"404 not_found"}
