"""What a client does: one request, or several of which each needs the one before."""

import json
import os
from collections.abc import Awaitable, Callable, Mapping

from benchmarks.generator.connection import Connection

_PAYMENT = {"amount": 1250, "currency": "USD", "payment_method": "tok_visa"}
_AUTOMATIC = json.dumps({**_PAYMENT, "capture_method": "automatic"}).encode()
_MANUAL = json.dumps({**_PAYMENT, "capture_method": "manual"}).encode()
_REFUND = json.dumps({"amount": 250}).encode()
_CREATED, _OK = 201, 200


class UnexpectedResponseError(Exception):
    """A response was not the one that the flow expects."""


Flow = Callable[[Connection, str, str], Awaitable[None]]


async def create(connection: Connection, key: str, _: str) -> None:
    """Take a payment, captured at once."""
    await _send(connection, "POST", "/v1/payments", key, _AUTOMATIC, expected=_CREATED)


async def capture_and_refund(connection: Connection, key: str, _: str) -> None:
    """Authorize, capture, and refund a part: three requests."""
    body = await _send(connection, "POST", "/v1/payments", key, _MANUAL, expected=_CREATED)
    payment = f"/v1/payments/{json.loads(body)['id']}"
    await _send(connection, "POST", f"{payment}/capture", key, b"{}", expected=_OK)
    await _send(connection, "POST", f"{payment}/refunds", key, _REFUND, expected=_CREATED)


async def read(connection: Connection, key: str, payment: str) -> None:
    """Read a payment."""
    await _send(connection, "GET", f"/v1/payments/{payment}", key, None, expected=_OK)


async def list_payments(connection: Connection, key: str, _: str) -> None:
    """List the newest payments."""
    await _send(connection, "GET", "/v1/payments?limit=20", key, None, expected=_OK)


async def health(connection: Connection, key: str, _: str) -> None:
    """Ask for the health check: no database."""
    await _send(connection, "GET", "/healthz", key, None, expected=_OK)


FLOWS: Mapping[str, Flow] = {
    "create": create,
    "capture_and_refund": capture_and_refund,
    "read": read,
    "list": list_payments,
    "health": health,
}


async def _send(
    connection: Connection, method: str, path: str, key: str, body: bytes | None, *, expected: int
) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
    if body is None:
        content = f"{head}\r\n".encode()
    else:
        head += f"Idempotency-Key: {os.urandom(16).hex()}\r\nContent-Type: application/json\r\n"
        content = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    status, answer = await connection.request(content)
    if status != expected:
        raise UnexpectedResponseError(f"{method} {path.split('?')[0][:14]} returned {status}")
    return answer
