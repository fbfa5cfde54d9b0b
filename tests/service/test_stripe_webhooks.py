"""Only Stripe's own, fresh messages are believed, and only about which object to retrieve."""

import json
import time
from typing import Any

import pytest

from payments.processors import stripe_webhooks
from payments.processors.inbound import InvalidSignature, ProcessorEvent
from tests.service.stripe_standin import WEBHOOK_SECRET, StripeStandin

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
)
def test_a_genuine_message_names_the_objects_to_ask_about(obj: dict[str, Any], references: tuple[str, ...]) -> None:
    body, headers = StripeStandin().webhook("some.event", obj)
    notice = _read(body, headers)
    assert (notice.references, notice.type, notice.livemode) == (references, "some.event", False)
    assert notice.event_id.startswith("evt_")


def test_the_signature_is_over_the_raw_bytes() -> None:
    body, headers = StripeStandin().webhook("some.event", _INTENT)
    with pytest.raises(InvalidSignature, match="match"):
        _read(json.dumps(json.loads(body), indent=1).encode(), headers)


@pytest.mark.parametrize("age", [301, -301, 100_000])
def test_five_minutes_are_tolerated_and_no_more(age: float) -> None:
    body, headers = StripeStandin().webhook("some.event", _INTENT, age=age)
    with pytest.raises(InvalidSignature, match="seconds"):
        _read(body, headers)


@pytest.mark.parametrize("age", [290, -290])
def test_within_five_minutes_it_is_read(age: float) -> None:
    body, headers = StripeStandin().webhook("some.event", _INTENT, age=age)
    assert _read(body, headers).references == ("pi_1",)


@pytest.mark.parametrize(
    "obj",
    [{"object": "refund", "id": 7}, {"object": "refund", "id": ""}, {"object": "refund", "id": "r" * 256}, {}, None],
)
def test_a_signed_body_that_names_nothing_usable_is_no_event(obj: Any) -> None:
    body, headers = StripeStandin().webhook("some.event", obj)
    with pytest.raises(InvalidSignature, match="not an event"):
        _read(body, headers)


def test_another_secret_is_refused_and_so_is_none() -> None:
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
def test_a_header_that_is_no_signature_is_refused(header: str | None) -> None:
    with pytest.raises(InvalidSignature):
        stripe_webhooks.read(b"{}", header, secret=WEBHOOK_SECRET)


def test_a_stale_stamp_cannot_hide_behind_a_second_one() -> None:
    body, headers = StripeStandin().webhook("some.event", _INTENT, age=1000)
    forged = f"{headers['Stripe-Signature']},t={int(time.time())}"
    with pytest.raises(InvalidSignature):
        stripe_webhooks.read(body, forged, secret=WEBHOOK_SECRET)


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b"\xff", b'{"id": 1, "type": "x", "data": {"object": {}}}', b'{"data": {"object": null}}']
)
def test_a_signed_body_that_is_no_event_is_refused(content: bytes) -> None:
    import hashlib
    import hmac

    now = int(time.time())
    digest = hmac.new(WEBHOOK_SECRET.encode(), f"{now}.".encode() + content, hashlib.sha256).hexdigest()
    with pytest.raises(InvalidSignature):
        stripe_webhooks.read(content, f"t={now},v1={digest}", secret=WEBHOOK_SECRET)
