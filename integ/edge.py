"""What is true of every answer, whoever asks: health, headers, limits, refusals."""

import json
import secrets
import time

from integ.client import CheckError, Client, SkippedError, expect, require

PROBLEM = "application/problem+json"
BODY_LIMIT = 65_536
"""Bytes of the largest legal body."""
_TOO_LARGE = 413


def alive(client: Client) -> None:
    """/healthz answers 200."""
    expect(client.call("GET", "/healthz", authenticated=False), 200)


def ready(client: Client) -> None:
    """/readyz answers 200: the database answers."""
    expect(client.call("GET", "/readyz", authenticated=False), 200)


def security_headers(client: Client) -> None:
    """Every answer has the security headers, errors too, and none tells a version."""
    for path in ("/healthz", "/v1/payments?limit=1", "/no-such-path"):
        headers = client.call("GET", path).headers
        require("max-age=" in headers.get("Strict-Transport-Security", ""), f"{path}: no Strict-Transport-Security")
        require(headers.get("X-Content-Type-Options") == "nosniff", f"{path}: no X-Content-Type-Options: nosniff")
        require(headers.get("Content-Security-Policy"), f"{path}: no Content-Security-Policy")
        server = headers.get("Server", "")
        require(not any(sign.isdigit() for sign in server), f"{path}: Server tells a version: {server}")


def anonymous_is_refused(client: Client) -> None:
    """A call without a key is refused with 401 and a problem document."""
    response = client.call("GET", "/v1/payments", authenticated=False)
    problem = expect(response, 401)
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    require(kind == PROBLEM, f"want content type {PROBLEM}, got {kind or 'none'}")
    require(problem.get("status") == 401, f"the problem says status {problem.get('status')!r}, the answer 401")


def largest_body_is_accepted(client: Client) -> None:
    """A body of exactly the largest legal size is accepted, one byte more is refused with 413."""
    key = secrets.token_hex(16)
    body = json.dumps(
        {
            "amount": 100,
            "currency": "EUR",
            "payment_method": client.settings.payment_method,
            "capture_method": "manual",
            "metadata": {f"smoke-{number:02}": "m" * 500 for number in range(50)},
        }
    ).encode()
    largest = body.ljust(BODY_LIMIT)  # JSON may end in white space
    payment = expect(client.call("POST", "/v1/payments", body=largest, idempotency_key=key), 201, 202)
    response = client.call("POST", "/v1/payments", body=largest + b" ", idempotency_key=secrets.token_hex(16))
    require(response.status_code == _TOO_LARGE, f"one byte too many: want status 413, got {response.status_code}")
    client.call("POST", f"/v1/payments/{payment['id']}/void", body={}, idempotency_key=secrets.token_hex(16))


def firewall_answers(client: Client) -> None:
    """An attack never reaches the API: the web application firewall answers 403 with a problem, request_blocked."""
    if not client.settings.firewall:
        raise SkippedError("no web application firewall is in front of this address")
    response = client.call("GET", "/v1/payments?reference=1'%20UNION%20SELECT%20password%20FROM%20users--")
    problem = expect(response, 403)
    require(problem.get("code") == "request_blocked", f"want code request_blocked, got {problem.get('code')!r}")
    require(problem.get("status") == 403, f"the problem says status {problem.get('status')!r}, the answer 403")


def free_text_is_accepted(client: Client) -> None:
    """A legal payment is taken although its text reads like an attack."""
    text = "' OR 1=1 -- <script>alert(1)</script> ../../etc/passwd ${jndi:ldap://a}"
    payment = expect(
        client.call(
            "POST",
            "/v1/payments",
            body={
                "amount": 100,
                "currency": "EUR",
                "payment_method": client.settings.payment_method,
                "capture_method": "manual",
                "description": text,
                "metadata": {"note": "1; DROP TABLE payments"},
            },
            idempotency_key=secrets.token_hex(16),
        ),
        201,
        202,
    )
    require(payment.get("description") == text, "the payment's description is not what was sent")
    client.call("POST", f"/v1/payments/{payment['id']}/void", body={}, idempotency_key=secrets.token_hex(16))


def wait_until_alive(client: Client, *, seconds: float, pause: float = 2.0) -> None:
    """Wait for a release that has just become reachable.

    Raises:
        CheckError: it has not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            alive(client)
        except CheckError as error:
            if time.monotonic() > deadline:
                raise CheckError(f"not alive after {seconds:g} s: {error}") from error
            time.sleep(pause)
        else:
            client.exchanges.clear()
            return
