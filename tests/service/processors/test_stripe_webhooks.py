"""Only Stripe's own, fresh messages are believed, and only about which object to retrieve."""

import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from payments.processors import stripe_webhooks
from payments.processors.inbound import InvalidSignature, ProcessorEvent
from tests.service.processors.stripe_standin import WEBHOOK_SECRET, StripeStandin

_INTENT = {"object": "payment_intent", "id": "pi_1"}


def _read(body: bytes, headers: dict[str, str], **changes: Any) -> ProcessorEvent:
    return stripe_webhooks.read(body, headers.get("Stripe-Signature"), secret=changes.get("secret", WEBHOOK_SECRET))


@pytest.mark.parametrize(
    ("obj", "references"),
    [
        (_INTENT, ("pi_1",)),
        ({"object": "refund", "id": "re_1", "payment_intent": "pi_2"}, ("re_1", "pi_2")),
        ({"object": "charge", "id": "ch_1", "payment_intent": "pi_3"}, ("ch_1", "pi_3")),
        ({"object": "charge", "id": "ch_1", "payment_intent": None}, ("ch_1",)),
        ({"object": "customer", "id": "cus_1"}, ()),
    ],
    ids=["intent", "refund", "charge", "charge alone", "other"],
)
def test_an_event_names_its_objects(obj: dict[str, Any], references: tuple[str, ...]) -> None:
    body, headers = StripeStandin().webhook("some.event", obj)
    event = _read(body, headers)
    assert (event.references, event.type, event.livemode) == (references, "some.event", False)
    assert event.event_id.startswith("evt_")


def test_the_signature_is_over_the_raw_bytes() -> None:
    body, headers = StripeStandin().webhook("some.event", _INTENT)
    with pytest.raises(InvalidSignature, match="match"):
        _read(json.dumps(json.loads(body), indent=1).encode(), headers)


@pytest.mark.parametrize("age", [301, -301, 100_000])
def test_a_stale_event_is_refused(age: float) -> None:
    body, headers = StripeStandin().webhook("some.event", _INTENT, age=age)
    with pytest.raises(InvalidSignature, match="seconds"):
        _read(body, headers)


@pytest.mark.parametrize("age", [290, -290])
def test_five_minutes_are_tolerated(age: float) -> None:
    body, headers = StripeStandin().webhook("some.event", _INTENT, age=age)
    assert _read(body, headers).references == ("pi_1",)


@pytest.mark.parametrize(
    "obj",
    [{"object": "refund", "id": 7}, {"object": "refund", "id": ""}, {"object": "refund", "id": "r" * 256}, {}, None],
    ids=["number", "empty", "long", "nothing", "null"],
)
def test_a_signed_body_without_ids_is_refused(obj: Any) -> None:
    body, headers = StripeStandin().webhook("some.event", obj)
    with pytest.raises(InvalidSignature, match="not an event"):
        _read(body, headers)


def test_a_wrong_or_missing_secret_is_refused() -> None:
    body, headers = StripeStandin().webhook("some.event", _INTENT, secret="whsec_other")
    with pytest.raises(InvalidSignature):
        _read(body, headers)
    with pytest.raises(InvalidSignature):
        _read(body, headers, secret="")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=1",
        "v1=abc",
        "t=x,v1=abc",
        "nonsense",
        pytest.param(f"t={int(time.time())},v1=00", id="wrong-signature"),
    ],
)
def test_malformed_signature(header: str | None) -> None:
    with pytest.raises(InvalidSignature):
        stripe_webhooks.read(b"{}", header, secret=WEBHOOK_SECRET)


def test_a_second_timestamp_cannot_hide_a_stale_one() -> None:
    body, headers = StripeStandin().webhook("some.event", _INTENT, age=1000)
    forged = f"{headers['Stripe-Signature']},t={int(time.time())}"
    with pytest.raises(InvalidSignature):
        stripe_webhooks.read(body, forged, secret=WEBHOOK_SECRET)


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{}", b"\xff", b'{"id": 1, "type": "x", "data": {"object": {}}}', b'{"data": {"object": null}}'],
    ids=["list", "empty", "binary", "no mode", "no object"],
)
def test_a_malformed_event_is_refused(content: bytes) -> None:
    now = int(time.time())
    digest = hmac.new(WEBHOOK_SECRET.encode(), f"{now}.".encode() + content, hashlib.sha256).hexdigest()
    with pytest.raises(InvalidSignature):
        stripe_webhooks.read(content, f"t={now},v1={digest}", secret=WEBHOOK_SECRET)
