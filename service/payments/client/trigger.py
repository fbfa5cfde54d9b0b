"""`payments trigger`: makes the calls that lead to an event, with the sandbox's payment methods."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from payments.client.api import ApiClient, ClientError, printable
from payments.client.terminal import Colour, Terminal
from payments.domain.events import EventType

_AMOUNT = 1099
_PART = 500
_CURRENCY = "EUR"
#: Seconds in which the event has to be there, and between two looks.
_PATIENCE, _INTERVAL = 30.0, 0.2


@dataclass(frozen=True, kw_only=True)
class Step:
    """One more call, for the payment that was created."""

    #: The last part of its path: ``capture``, ``void`` or ``refunds``.
    operation: str
    #: The status that is expected.
    status: int
    body: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an event comes about: a payment, and perhaps a step more."""

    payment_method: str
    #: The status that is expected.
    status: int = 201
    capture_method: str = "automatic"
    step: Step | None = None

    def __str__(self) -> str:
        text = f"a payment with {self.payment_method}"
        if self.capture_method == "manual":
            text += ", captured manually"
        if self.step is None:
            return text
        name = {"capture": "capture", "void": "void", "refunds": "refund"}[self.step.operation]
        return f"{text}, then a {name}" + (" of a part" if "amount" in self.step.body else "")


def _manual(payment_method: str, operation: str, status: int, body: Mapping[str, object] | None = None) -> Recipe:
    step = Step(operation=operation, status=status, body=body or {})
    return Recipe(payment_method=payment_method, capture_method="manual", step=step)


def _refund(payment_method: str, status: int) -> Recipe:
    return Recipe(payment_method=payment_method, step=Step(operation="refunds", status=status, body={}))


RECIPES: Mapping[EventType, Recipe] = {
    EventType.PAYMENT_PROCESSING: Recipe(payment_method="tok_pending_approved", status=202),
    EventType.PAYMENT_REQUIRES_ACTION: Recipe(payment_method="tok_3ds"),
    EventType.PAYMENT_AUTHORIZED: Recipe(payment_method="tok_visa", capture_method="manual"),
    EventType.PAYMENT_PARTIALLY_CAPTURED: _manual("tok_visa", "capture", 200, {"amount": _PART, "final": False}),
    EventType.PAYMENT_SUCCEEDED: Recipe(payment_method="tok_visa"),
    EventType.PAYMENT_FAILED: Recipe(payment_method="tok_declined", status=402),
    EventType.PAYMENT_CANCELED: _manual("tok_visa", "void", 200),
    EventType.PAYMENT_CAPTURE_FAILED: _manual("tok_capture_declined", "capture", 402),
    EventType.PAYMENT_VOID_FAILED: _manual("tok_void_declined", "void", 402),
    EventType.REFUND_PENDING: _refund("tok_refund_pending", 202),
    EventType.REFUND_SUCCEEDED: _refund("tok_visa", 201),
    EventType.REFUND_FAILED: _refund("tok_refund_declined", 402),
}
_DISPUTE = "not in the sandbox, which has no bank; with Stripe in test mode, pay with pm_card_createDispute"
#: Why the others cannot be triggered.
NOT_TRIGGERED: Mapping[EventType, str] = dict.fromkeys(
    (EventType.DISPUTE_CREATED, EventType.DISPUTE_UPDATED, EventType.DISPUTE_CLOSED), _DISPUTE
)


def trigger(api: ApiClient, terminal: Terminal, event_type: EventType) -> None:
    """Make the calls, showing each, and wait for the event.

    Raises:
        ClientError: The API answers something else, or the event does not come.
    """
    recipe = RECIPES[event_type]
    body = {
        "amount": _AMOUNT,
        "currency": _CURRENCY,
        "payment_method": recipe.payment_method,
        "capture_method": recipe.capture_method,
        "description": f"payments trigger {event_type.value}",
    }
    payment = _call(api, terminal, "/v1/payments", body, recipe.status)
    payment_id = printable(payment["id"])
    if recipe.step is not None:
        path = f"/v1/payments/{payment_id}/{recipe.step.operation}"
        _call(api, terminal, path, recipe.step.body, recipe.step.status)
    event = _wait(api, payment_id, event_type)
    terminal.line(f"{terminal.paint(event_type.value, Colour.STRONG)} [{event}] {payment_id}")


def _call(
    api: ApiClient, terminal: Terminal, path: str, body: Mapping[str, object], expected: int
) -> Mapping[str, Any]:
    """Make a call and show it; return the payment or refund, which a refusal has as a member."""
    answer = api.post(path, body, expected=expected)
    status = terminal.paint(str(expected), Colour.GOOD)
    found: Mapping[str, Any] = answer
    shown = answer.get("status")
    if "code" in answer:
        found = answer["refund" if "refund" in answer else "payment"]
        shown = f"{found['status']}: {answer['code']}, {answer.get('decline_code')}"
    terminal.line(f"POST {path} {terminal.paint(_summary(body), Colour.QUIET)}-> {status} {printable(shown)}")
    return found


def _summary(body: Mapping[str, object]) -> str:
    shown: Sequence[object] = [body[name] for name in ("payment_method", "capture_method", "amount") if name in body]
    return f"({', '.join(map(str, shown))}) " if shown else ""


def _wait(api: ApiClient, payment_id: str, event_type: EventType) -> str:
    """Return the ID of the payment's event once it is listed."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        for event in api.get(f"/v1/payments/{payment_id}/events", limit=100).json()["data"]:
            if event["type"] == event_type.value:
                return printable(event["id"])
        time.sleep(_INTERVAL)
    raise ClientError(f"the calls succeeded, but {payment_id} has no {event_type.value} after {_PATIENCE:.0f} s.")
