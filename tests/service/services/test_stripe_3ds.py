"""3-D Secure at Stripe: a payment that waits for its customer always says where to send them."""

from collections.abc import Iterator
from typing import Any

import pytest

from payments.processors import stripe_api
from payments.processors.stripe import StripeProcessor
from payments.repositories.database import Database
from tests.service.api import Client, context_with, recover_due
from tests.service.fixtures import ApiKey, Postgres
from tests.service.processors.stripe_standin import API_KEY, WEBHOOK_SECRET, StripeStandin, stripe_standin
from tests.service.scripted import execute

_TOKEN = "pm_card_authenticationRequired"
#: What Stripe's document allows besides a URL.
NOWHERE = {
    "null": {"type": "redirect_to_url", "redirect_to_url": {"url": None, "return_url": None}},
    "none": {"type": "redirect_to_url", "redirect_to_url": {}},
    "script": {"type": "use_stripe_sdk", "use_stripe_sdk": {}},
}


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[StripeStandin]:
    monkeypatch.setattr(stripe_api, "_RETRY_DELAY", 0.001)
    with stripe_standin() as found:
        yield found


@pytest.fixture
def shop(database: Database, key: ApiKey, standin: StripeStandin) -> Client:
    processor = StripeProcessor(api_key=API_KEY, webhook_secret=WEBHOOK_SECRET, base_url=standin.url)
    return Client(context_with(database, processor), key)


def _recover(shop: Client, postgres: Postgres) -> None:
    """Let the worker look everything up, as if the holders' deadlines had passed."""
    for _ in range(4):
        execute(postgres, "UPDATE attempts SET deadline_at = now() - interval '1 s', next_look_at = now()")
        while recover_due(shop.context):
            pass


def _intent(standin: StripeStandin) -> dict[str, Any]:
    return list(standin.intents.values())[-1]


@pytest.mark.parametrize("response", ["at once", "lost"])
@pytest.mark.parametrize("action", NOWHERE.values(), ids=NOWHERE)
def test_an_action_without_a_url_is_cancelled(
    shop: Client,
    standin: StripeStandin,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    action: dict[str, Any],
    response: str,
) -> None:
    """Nobody could take it; also if the response is lost, and the worker finds it."""
    confirm = StripeStandin.confirm

    def without_url(self: StripeStandin, intent_id: str, form: dict[str, Any]) -> dict[str, Any]:
        found = confirm(self, intent_id, form)
        found["next_action"] = action
        return found

    monkeypatch.setattr(StripeStandin, "confirm", without_url)
    if response == "lost":
        standin.faults.update(confirm=["lost", "lost"], retrieve=["before"] * 4)
    created = shop.create(_TOKEN)
    assert created.status_code == (402 if response == "at once" else 202)
    standin.faults.clear()
    _recover(shop, postgres)
    (payment,) = shop.json(shop.get("/v1/payments"))["data"]
    assert (payment["status"], payment["next_action"]) == ("failed", None)
    assert payment["last_error"]["decline_code"] == "authentication_failed"
    assert "payment.requires_action" not in shop.event_types(payment["id"])
    assert _intent(standin)["status"] == "canceled"


def test_a_url_that_is_gone_cancels_nothing(shop: Client, standin: StripeStandin, postgres: Postgres) -> None:
    """The customer may be on that page: the payment keeps the URL that it published, and waits."""
    created = shop.json(shop.create(_TOKEN))
    _intent(standin)["next_action"] = NOWHERE["null"]
    _recover(shop, postgres)
    assert shop.payment(created["id"]) == created
    standin.complete_3ds(_intent(standin)["id"], approve=True)
    _recover(shop, postgres)
    assert shop.payment(created["id"])["status"] == "succeeded"
