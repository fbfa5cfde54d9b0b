"""3-D Secure in the sandbox: the page takes one decision, whatever happens in between."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database
from tests.service.api import Client, recover_due, sandbox_context, start_3ds
from tests.service.fixtures import ApiKey, Postgres
from tests.waiting import wait_until


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
    for again in (client.http().post(page, data={"decision": "approve"}), client.http().get(page)):
        assert (again.status_code, "declined" in again.text) == (200, True), "it says what became of the payment"
        assert "<form" not in again.text
    assert client.payment(payment_id)["status"] == "failed"
    assert client.event_types(payment_id).count("payment.processing") == 1


@pytest.mark.parametrize("first", ["approve", "refuse"])
def test_a_second_click_leads_back_to_the_shop(client: Client, first: str) -> None:
    """keybase/client#13057, Adyen/adyen-sapcommerce#184: a double click, the back button or a reload is no error."""
    payment_id, page = start_3ds(client, return_url="https://shop.example/thanks")
    decided = client.http().post(page, data={"decision": first})
    status = client.payment(payment_id)["status"]
    clicks = [client.http().post(page, data={"decision": decision}) for decision in ("approve", "refuse")]
    for again in (*clicks, client.http().get(page)):
        assert (again.status_code, again.headers["Location"]) == (303, decided.headers["Location"])
    assert client.payment(payment_id)["status"] == status


def test_clicks_in_several_tabs_take_one_decision(client: Client) -> None:
    """However they overlap, each leads back to the shop."""
    payment_id, page = start_3ds(client, return_url="https://shop.example/thanks")
    decisions = ["approve", "refuse"] * 4
    with ThreadPoolExecutor(len(decisions)) as tabs:
        clicks = list(tabs.map(lambda decision: client.http().post(page, data={"decision": decision}), decisions))
    assert {click.status_code for click in clicks} == {303}
    wait_until(lambda: client.payment(payment_id)["status"] in ("succeeded", "failed"), "the one decision")
    assert len(client.entries(payment_id)) <= 2, "charged at most once, with its fee"


RETURN_URLS = {
    "https://shop.example": "https://shop.example?payment_id=ID",
    "https://shop.example/thanks?order=1": "https://shop.example/thanks?order=1&payment_id=ID",
    "https://shop.example/?": "https://shop.example/?payment_id=ID",
    "https://shop.example/?a=%2F+b&a=%C3%BC&": "https://shop.example/?a=%2F+b&a=%C3%BC&payment_id=ID",
    "https://shop.example/#/thanks?order=1": "https://shop.example/?payment_id=ID#/thanks?order=1",
    "https://shop.example/?flag#top": "https://shop.example/?flag&payment_id=ID#top",
    "https://xn--bcher-kva.example:8443/a;b": "https://xn--bcher-kva.example:8443/a;b?payment_id=ID",
    "https://shop.example/?payment_id=pay_mine&b=1": "https://shop.example/?b=1&payment_id=ID",
    "https://shop.example/?payment%5Fid=pay_mine": "https://shop.example/?payment_id=ID",
}


@pytest.mark.parametrize("number", range(len(RETURN_URLS)))
def test_the_shop_learns_which_payment_came_back(client: Client, number: int) -> None:
    """In whatever URL it gave; a parameter of the same name cannot pretend to be ours."""
    given, expected = list(RETURN_URLS.items())[number]
    payment_id, page = start_3ds(client, return_url=given)
    response = client.http().post(page, data={"decision": "approve"})
    assert response.headers["Location"] == expected.replace("ID", payment_id)
    assert client.payment(payment_id)["return_url"] == given, "the payment keeps what the merchant sent"


def test_the_customer_returns_to_the_merchant(client: Client) -> None:
    payment_id, page = start_3ds(client, return_url="https://shop.example/thanks?order=1")
    policy = client.http().get(page).headers["Content-Security-Policy"]
    assert "form-action 'self' https://shop.example;" in policy + ";"
    response = client.http().post(page, data={"decision": "approve"})
    assert (response.status_code, response.headers["Location"]) == (
        303,
        f"https://shop.example/thanks?order=1&payment_id={payment_id}",
    )


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
    assert "canceled" in client.http().post(page, data={"decision": "approve"}).text
    assert client.payment(payment_id)["status"] == "canceled"


def test_the_page_of_a_voided_payment_is_closed(client: Client) -> None:
    payment_id, page = start_3ds(client)
    client.json(client.post(f"/v1/payments/{payment_id}/void"))
    assert "canceled" in client.http().post(page, data={"decision": "approve"}).text
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


@pytest.mark.parametrize(
    "form",
    ["", "decision=maybe", "decision=" + "x" * 300, "decision=approve&decision=approve", "decision=approve&more=1"],
    ids=["empty", "unknown", "long", "repeated", "unknown field"],
)
def test_other_forms_are_refused(client: Client, form: str) -> None:
    payment_id, page = start_3ds(client)
    response = client.http().post(page, data=form, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 400
    assert client.payment(payment_id)["status"] == "requires_action"


@pytest.mark.parametrize("media_type", ["multipart/form-data; boundary=x", "application/json", "text/plain", ""])
def test_only_a_form_is_taken(client: Client, media_type: str) -> None:
    _, page = start_3ds(client)
    assert client.http().post(page, data="decision=approve", content_type=media_type).status_code == 415


@pytest.mark.parametrize("token", ["x", "y" * 32, "../../healthz"])
def test_unknown_pages(client: Client, token: str) -> None:
    assert client.http().get(f"/v1/sandbox/3ds/{token}").status_code == 404
    assert client.http().post(f"/v1/sandbox/3ds/{token}", data={"decision": "approve"}).status_code == 404
