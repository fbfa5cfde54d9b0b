"""Request guards: authentication, security headers, the body limit and the web application firewall."""

import json
import secrets
from collections.abc import Mapping

import requests

from integ.client import ApiClient, SkippedError, expect, require

PROBLEM = "application/problem+json"
#: Size of the largest accepted body, in bytes.
BODY_LIMIT = 65_536


def security_headers(client: ApiClient) -> None:
    """Every response has the security headers, errors too, and none reveals a version."""
    for path in ("/healthz", "/v1/payments?limit=1", "/no-such-path"):
        headers = client.call("GET", path).headers
        require("max-age=" in headers.get("Strict-Transport-Security", ""), f"{path}: no Strict-Transport-Security")
        require(headers.get("X-Content-Type-Options") == "nosniff", f"{path}: no X-Content-Type-Options: nosniff")
        require(headers.get("Content-Security-Policy"), f"{path}: no Content-Security-Policy")
        server = headers.get("Server", "")
        require(not any(sign.isdigit() for sign in server), f"{path}: Server reveals a version: {server}")


def authentication(client: ApiClient) -> None:
    """A request without a key is rejected with 401 and a problem document."""
    response = client.call("GET", "/v1/payments", authenticated=False)
    problem = expect(response, 401)
    media_type = response.headers.get("Content-Type", "").partition(";")[0]
    require(media_type == PROBLEM, f"want content type {PROBLEM}, got {media_type or 'none'}")
    require(problem.get("status") == 401, f"want status 401 in the problem, got {problem.get('status')!r}")


def body_limit(client: ApiClient) -> None:
    """A body of the maximum size is accepted, and one byte more is rejected with 413."""
    metadata = {f"smoke-{number:02}": "m" * 500 for number in range(50)}
    body = json.dumps(_payment(client, metadata=metadata)).encode()
    largest = body.ljust(BODY_LIMIT)  # JSON may end in white space
    payment = expect(_create(client, largest), 201, 202)
    status = _create(client, largest + b" ").status_code
    require(status == 413, f"one byte too many: want status 413, got {status}")
    _void(client, payment)


def firewall(client: ApiClient) -> None:
    """An attack never reaches the API: the firewall rejects it with 403 and a problem, request_blocked."""
    if not client.settings.firewall:
        raise SkippedError("this environment has no web application firewall")
    response = client.call("GET", "/v1/payments?reference=1'%20UNION%20SELECT%20password%20FROM%20users--")
    problem = expect(response, 403)
    require(problem.get("code") == "request_blocked", f"want code request_blocked, got {problem.get('code')!r}")
    require(problem.get("status") == 403, f"want status 403 in the problem, got {problem.get('status')!r}")


def free_text(client: ApiClient) -> None:
    """A valid payment is accepted although its text looks like an attack."""
    text = "' OR 1=1 -- <script>alert(1)</script> ../../etc/passwd ${jndi:ldap://a}"
    body = _payment(client, description=text, metadata={"note": "1; DROP TABLE payments"})
    payment = expect(_create(client, json.dumps(body).encode()), 201, 202)
    require(payment.get("description") == text, "the payment's description differs from the one sent")
    _void(client, payment)


def _payment(client: ApiClient, **fields: object) -> dict[str, object]:
    method = client.settings.payment_method
    return {"amount": 100, "currency": "EUR", "payment_method": method, "capture_method": "manual", **fields}


def _create(client: ApiClient, body: bytes) -> requests.Response:
    return client.call("POST", "/v1/payments", body=body, idempotency_key=secrets.token_hex(16))


def _void(client: ApiClient, payment: Mapping[str, object]) -> None:
    client.call("POST", f"/v1/payments/{payment['id']}/void", body={}, idempotency_key=secrets.token_hex(16))
