"""Payments in test mode: one goes through its whole life cycle, and a repeated request has no second effect."""

import secrets
import time

import requests

from integ.client import ApiClient, CheckError, expect, require

#: In minor units: 12.50 euros.
AMOUNT = 1_250
_SETTLEMENT_SECONDS = 20.0


def life_cycle(client: ApiClient) -> None:
    """A payment is authorized, captured and refunded, and its amounts add up."""
    payment = expect(_create(client), 201, 202)
    identifier = payment.get("id", "")
    require(identifier, "the payment has no id")
    require(payment.get("livemode") is False, "livemode is not false: the smoke key is not a test-mode key")
    _wait_for(client, identifier, status="requires_capture", amount_authorized=AMOUNT, amount_captured=0)
    expect(_post(client, f"/v1/payments/{identifier}/capture", {}), 200, 202)
    _wait_for(client, identifier, status="succeeded", amount_captured=AMOUNT, amount_refunded=0)
    refund = expect(_post(client, f"/v1/payments/{identifier}/refunds", {"amount": AMOUNT}), 201, 202)
    require(refund.get("amount") == AMOUNT, f"want a refund of {AMOUNT}, got {refund.get('amount')!r}")
    _wait_for(client, identifier, status="succeeded", amount_refunded=AMOUNT, amount_refund_pending=0)


def idempotency(client: ApiClient) -> None:
    """A request repeated with its idempotency key gets the same bytes, marked as a replay."""
    key, reference = secrets.token_hex(16), f"smoke-{secrets.token_hex(8)}"
    first = _create(client, key=key, reference=reference)
    identifier = expect(first, 201).get("id")
    second = _create(client, key=key, reference=reference)
    require(second.status_code == first.status_code, f"want {first.status_code} again, got {second.status_code}")
    require(second.content == first.content, "the body of the replay differs from the first one")
    replayed = second.headers.get("Idempotency-Replayed")
    require(replayed == "true", f"want header Idempotency-Replayed: true, got {replayed!r}")
    found = expect(client.call("GET", f"/v1/payments?reference={reference}"), 200).get("data", [])
    require([one.get("id") for one in found] == [identifier], f"want one payment, got {len(found)}")
    _post(client, f"/v1/payments/{identifier}/void", {})


def _create(client: ApiClient, *, key: str | None = None, reference: str | None = None) -> requests.Response:
    body = {
        "amount": AMOUNT,
        "currency": "EUR",
        "payment_method": client.settings.payment_method,
        "capture_method": "manual",
        "description": "smoke check",
    }
    return _post(client, "/v1/payments", body | ({"reference": reference} if reference else {}), key=key)


def _post(client: ApiClient, path: str, body: dict[str, object], *, key: str | None = None) -> requests.Response:
    return client.call("POST", path, body=body, idempotency_key=key or secrets.token_hex(16))


def _wait_for(client: ApiClient, identifier: str, **wanted: object) -> None:
    """Read the payment until it is as wanted: the outcome of an operation may be unknown for a moment."""
    deadline = time.monotonic() + _SETTLEMENT_SECONDS
    while True:
        payment = expect(client.call("GET", f"/v1/payments/{identifier}"), 200)
        wrong = {name: payment.get(name) for name, value in wanted.items() if payment.get(name) != value}
        if not wrong:
            return
        if not _pending(payment) or time.monotonic() > deadline:
            text = ", ".join(f"{name} {wanted[name]!r} (got {value!r})" for name, value in wrong.items())
            raise CheckError(f"payment {identifier}: want {text}")
        time.sleep(1.0)


def _pending(payment: dict[str, object]) -> bool:  # Any: JSON
    """Return whether the outcome of an operation is still unknown."""
    return bool(
        payment.get("status") == "processing"
        or payment.get("pending_operation")
        or payment.get("amount_refund_pending")
    )
