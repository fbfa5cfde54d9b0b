"""What merchants rely on: a payment goes all its way in test mode, and a repeated request does nothing twice."""

import secrets
import time
from typing import Any

import requests

from integ.client import CheckError, Client, expect, require

AMOUNT = 1_250
"""Minor units: 12.50 euros of test money."""
_SETTLED_SECONDS = 20.0


def payment_goes_all_its_way(client: Client) -> None:
    """A payment is authorized, captured and refunded, and its amounts add up."""
    payment = expect(_create(client), 201, 202)
    identifier = payment.get("id", "")
    require(identifier, "the payment has no id")
    require(payment.get("livemode") is False, "the smoke key is no test-mode key: livemode is not false")
    _wait_for(client, identifier, status="requires_capture", amount_authorized=AMOUNT, amount_captured=0)
    expect(_post(client, f"/v1/payments/{identifier}/capture", {}), 200, 202)
    _wait_for(client, identifier, status="succeeded", amount_captured=AMOUNT, amount_refunded=0)
    refund = expect(_post(client, f"/v1/payments/{identifier}/refunds", {"amount": AMOUNT}), 201, 202)
    require(refund.get("amount") == AMOUNT, f"want a refund of {AMOUNT}, got {refund.get('amount')!r}")
    _wait_for(client, identifier, status="succeeded", amount_refunded=AMOUNT, amount_refund_pending=0)


def repeated_request_is_replayed(client: Client) -> None:
    """The same request under the same key is answered by the same bytes, and marked as a replay."""
    key, reference = secrets.token_hex(16), f"smoke-{secrets.token_hex(8)}"
    first = _create(client, key=key, reference=reference)
    identifier = expect(first, 201).get("id")
    second = _create(client, key=key, reference=reference)
    require(second.status_code == first.status_code, f"want {first.status_code} again, got {second.status_code}")
    require(second.content == first.content, "the second answer's body differs from the first one's")
    replayed = second.headers.get("Idempotency-Replayed")
    require(replayed == "true", f"want header Idempotency-Replayed: true, got {replayed!r}")
    found = expect(client.call("GET", f"/v1/payments?reference={reference}"), 200).get("data", [])
    require([one.get("id") for one in found] == [identifier], f"one payment was asked for, {len(found)} are there")
    _post(client, f"/v1/payments/{identifier}/void", {})


def _create(client: Client, *, key: str | None = None, reference: str | None = None) -> requests.Response:
    body = {
        "amount": AMOUNT,
        "currency": "EUR",
        "payment_method": client.settings.payment_method,
        "capture_method": "manual",
        "description": "smoke check",
    }
    return _post(client, "/v1/payments", body | ({"reference": reference} if reference else {}), key=key)


def _post(client: Client, path: str, body: dict[str, object], *, key: str | None = None) -> requests.Response:
    return client.call("POST", path, body=body, idempotency_key=key or secrets.token_hex(16))


def _wait_for(client: Client, identifier: str, **wanted: object) -> None:
    """Read the payment until it is as wanted: an outcome may be unknown for a moment, and is then found out."""
    deadline = time.monotonic() + _SETTLED_SECONDS
    while True:
        payment = expect(client.call("GET", f"/v1/payments/{identifier}"), 200)
        wrong = {name: payment.get(name) for name, value in wanted.items() if payment.get(name) != value}
        if not wrong:
            return
        if not _pending(payment) or time.monotonic() > deadline:
            text = ", ".join(f"{name} {wanted[name]!r} (got {value!r})" for name, value in wrong.items())
            raise CheckError(f"payment {identifier}: want {text}")
        time.sleep(1.0)


def _pending(payment: dict[str, Any]) -> bool:
    """Whether an outcome is still being found out."""
    return bool(
        payment.get("status") == "processing"
        or payment.get("pending_operation")
        or payment.get("amount_refund_pending")
    )
