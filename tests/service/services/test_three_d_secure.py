"""3-D Secure in the sandbox: the page takes one decision, whatever happens in between."""

import psycopg
import pytest

from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database
from tests.service.api import Client, recover_due, sandbox_context, start_3ds
from tests.service.conftest import ApiKey, Postgres


@pytest.fixture
def client(database: Database, journal: Database, key: ApiKey) -> Client:
    return Client(sandbox_context(database, journal), key)


@pytest.mark.parametrize(
    ("decision", "method", "status", "last_event"),
    [
        ("approve", "automatic", "succeeded", "payment.succeeded"),
        ("approve", "manual", "requires_capture", "payment.authorized"),
        ("refuse", "automatic", "failed", "payment.failed"),
    ],
    ids=["approve", "approve, manual", "refuse"],
)
def test_the_customer_decides(client: Client, decision: str, method: str, status: str, last_event: str) -> None:
    payment_id, page = start_3ds(client, capture_method=method)
    shown = client.http().get(page)
    assert (shown.status_code, b"10.00 EUR" in shown.data) == (200, True)
    assert "script" not in shown.text
    assert client.http().post(page, data={"decision": decision}).status_code == 200
    payment = client.payment(payment_id)
    assert (payment["status"], payment["next_action"]) == (status, None)
    assert client.event_types(payment_id) == ["payment.requires_action", "payment.processing", last_event]
    if decision == "refuse":
        assert payment["last_error"]["decline_code"] == "authentication_failed"


def test_the_page_takes_one_decision(client: Client) -> None:
    payment_id, page = start_3ds(client)
    assert client.http().post(page, data={"decision": "refuse"}).status_code == 200
    assert client.http().post(page, data={"decision": "approve"}).status_code == 404
    assert client.http().get(page).status_code == 404
    assert client.payment(payment_id)["status"] == "failed"


def test_the_customer_returns_to_the_merchant(client: Client) -> None:
    _, page = start_3ds(client, return_url="https://shop.example/thanks?order=1")
    policy = client.http().get(page).headers["Content-Security-Policy"]
    assert "form-action 'self' https://shop.example;" in policy + ";"
    response = client.http().post(page, data={"decision": "approve"})
    assert (response.status_code, response.headers["Location"]) == (303, "https://shop.example/thanks?order=1")


def test_the_key_keeps_its_first_response(client: Client) -> None:
    first = client.create("tok_3ds", key="same")
    page = first.get_json()["next_action"]["redirect_to_url"]["url"].removeprefix("https://localhost:8443")
    client.http().post(page, data={"decision": "approve"})
    assert client.create("tok_3ds", key="same").data == first.data


def test_a_customer_who_never_acts_cancels_after_a_day(client: Client, postgres: Postgres) -> None:
    payment_id, page = start_3ds(client)
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        row = connection.execute("SELECT next_look_at - now() FROM attempts").fetchone()
        assert row is not None
        assert 23.9 < row[0].total_seconds() / 3600 <= 24
        assert recover_due(client.context) is False
        connection.execute("UPDATE attempts SET next_look_at = now()")
        assert recover_due(client.context)
        assert client.payment(payment_id)["status"] == "requires_action", "asked early, it goes on waiting"
        connection.execute("UPDATE attempts SET next_look_at = now()")
        connection.execute("UPDATE payments SET expires_at = now()")
    assert recover_due(client.context)
    payment = client.payment(payment_id)
    assert (payment["status"], payment["last_error"]) == ("canceled", None)
    assert client.http().post(page, data={"decision": "approve"}).status_code == 404


def test_the_page_of_a_voided_payment_is_closed(client: Client) -> None:
    payment_id, page = start_3ds(client)
    client.json(client.post(f"/v1/payments/{payment_id}/void"))
    assert client.http().post(page, data={"decision": "approve"}).status_code == 404
    assert client.payment(payment_id)["status"] == "canceled"


def test_a_crash_before_the_decision_requires_another(
    client: Client, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        """Ends the request where a kill would."""

    def crash(*_: object, **__: object) -> bool:
        raise Crash

    payment_id, page = start_3ds(client)
    with monkeypatch.context() as patch:
        patch.setattr(SandboxProcessor, "decide", crash)
        with pytest.raises(Crash):
            client.http().post(page, data={"decision": "approve"})
    assert client.payment(payment_id)["status"] == "processing"
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("UPDATE attempts SET next_look_at = now()")
    recover_due(client.context)
    assert client.payment(payment_id)["status"] == "requires_action"
    assert client.http().post(page, data={"decision": "approve"}).status_code == 200
    assert client.payment(payment_id)["status"] == "succeeded"


@pytest.mark.parametrize("form", [{}, {"decision": "maybe"}, {"decision": "x" * 300}])
def test_other_decisions_are_refused(client: Client, form: dict[str, str]) -> None:
    _, page = start_3ds(client)
    assert client.http().post(page, data=form).status_code == 400


@pytest.mark.parametrize("token", ["x", "y" * 32, "../../healthz"])
def test_unknown_pages(client: Client, token: str) -> None:
    assert client.http().get(f"/v1/sandbox/3ds/{token}").status_code == 404
    assert client.http().post(f"/v1/sandbox/3ds/{token}", data={"decision": "approve"}).status_code == 404
