"""The stand-in is held to Stripe's OpenAPI document, and the document to the SDK's version."""

import json
from typing import Any

import pytest
import stripe

from payments.processors.base import CallKind
from payments.processors.stripe import StripeProcessor
from tests.service.processors.stripe_calls import captured, new_call
from tests.service.processors.stripe_contract import CALLS, EXTRACT, violations
from tests.service.processors.stripe_standin import StripeStandin

DOCUMENT = json.loads(EXTRACT.read_text())


@pytest.mark.parametrize("name", ["payment_intent", "refund"])
def test_the_pinned_version_has_it(processor: StripeProcessor, standin: StripeStandin, name: str) -> None:
    """The document may be older than the version that the SDK pins: the SDK is generated from the newer one."""
    reference = captured(processor)
    processor.refund(new_call(CallKind.REFUND, charge_reference=reference, amount=300))
    objects: dict[str, tuple[type, dict[str, Any]]] = {
        "payment_intent": (stripe.PaymentIntent, standin.intents[reference]),
        "refund": (stripe.Refund, next(iter(standin.refunds.values()))),
    }
    pinned, found = objects[name]
    assert found.keys() <= DOCUMENT["components"]["schemas"][name]["properties"].keys()
    assert found.keys() - {"livemode"} <= pinned.__annotations__.keys() | {"object", "livemode"}


def test_every_call_is_documented() -> None:
    known = {name for _, _, name in StripeStandin._ROUTES}
    assert CALLS.keys() <= known
    assert DOCUMENT["calls"].keys() == CALLS.keys()


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "done"), ("amount", "1000"), ("amount_received", None), ("id", None), ("latest_charge", 7)],
)
def test_wrong_responses(processor: StripeProcessor, standin: StripeStandin, field: str, value: object) -> None:
    intent = standin.intents[captured(processor)]
    assert list(violations("retrieve", {}, 200, intent)) == []
    (found,) = violations("retrieve", {}, 200, {**intent, field: value})
    assert f"$.{field}" in found


@pytest.mark.parametrize(
    "form",
    [{"currency": "eur"}, {"amount": "many", "currency": "eur"}, {"amount": "1", "currency": "eur", "captured": "1"}],
    ids=["no amount", "no number", "unknown parameter"],
)
def test_wrong_requests(form: dict[str, Any]) -> None:
    assert any("request of create" in each for each in violations("create", form, 200, {}))
