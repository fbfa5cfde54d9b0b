"""The search for an order that explains a history: it accepts what can be explained, and nothing else."""

from typing import Any

import pytest

from tests.proof.history import NEVER, Entry, Json, Verdict
from tests.proof.linearizability import explain

_PAYMENT = {"payment_method": "tok_visa", "amount": 100, "capture_method": "automatic"}


def entry(kind: str, span: tuple[float, float], status: int = 200, **more: Any) -> Entry:  # Any: fields of an Entry
    verdict = Verdict.SEEN if kind == "look" else Verdict.FINAL if status in (200, 201, 402) else Verdict.REFUSED
    defaults: Json = {"verdict": verdict, "arguments": {}, "body": {}}
    return Entry(kind=kind, invoked=span[0], returned=span[1], status=status, **{**defaults, **more})


def payment(status: str, captured: int = 0, refunded: int = 0) -> Json:
    return {"status": status, "amount_captured": captured, "amount_refunded": refunded}


def created(**more: str) -> Entry:
    asked = {**_PAYMENT, **more}
    body = payment("requires_capture") if asked["capture_method"] == "manual" else payment("succeeded", 100)
    return entry("create", (0, 1), 201, arguments=asked, body=body)


def refund(span: tuple[float, float], amount: int, status: int = 201, **more: Any) -> Entry:  # Any: fields of an Entry
    return entry(
        "refund", span, status, arguments={"amount": amount}, body={"status": "succeeded", "amount": amount}, **more
    )


def look(span: tuple[float, float], status: str, captured: int = 0, refunded: int = 0) -> Entry:
    return entry("look", span, body=payment(status, captured, refunded))


CAPTURE: Json = {"arguments": {"final": True}, "body": payment("succeeded", 100)}
VOID: Json = {"body": payment("canceled")}

EXPLAINED = {
    "one after the other": [created(), refund((2, 3), 60), look((4, 5), "succeeded", 100, 60)],
    "seen before it was answered": [created(), refund((2, 9), 60), look((3, 4), "succeeded", 100, 60)],
    "a refund refused beside another": [created(), refund((2, 5), 60), refund((3, 4), 60, 422)],
    "refused, and carried out later": [
        created(),
        refund((2, 3), 60, 409, unanswered=True),
        look((4, 5), "succeeded", 100, 0),
        look((6, 7), "succeeded", 100, 60),
    ],
    "a race that the void lost": [
        created(capture_method="manual"),
        entry("capture", (2, 5), **CAPTURE),
        entry("void", (2, 6), 409),
    ],
    "the customer was heard": [
        entry("create", (0, 1), 201, arguments={**_PAYMENT, "payment_method": "tok_3ds"},
              body=payment("requires_action")),
        entry("decide", (2, NEVER), arguments={"approve": True}),
        look((3, 4), "processing"),
        look((5, 6), "succeeded", 100),
    ],
}  # fmt: skip
UNEXPLAINED = {
    "an acknowledged refund is lost": [created(), refund((2, 3), 60), look((4, 5), "succeeded", 100, 0)],
    "a refund counts twice": [created(), refund((2, 3), 40), look((4, 5), "succeeded", 100, 80)],
    "more is refunded than captured": [created(), refund((2, 3), 60), refund((2, 3), 60)],
    "refused for no reason": [created(), refund((2, 3), 60, 422)],
    "captured and voided": [
        created(capture_method="manual"),
        entry("capture", (2, 5), **CAPTURE),
        entry("void", (2, 6), **VOID),
    ],
    "time runs backwards": [
        created(),
        refund((2, 9), 60),
        look((3, 4), "succeeded", 100, 60),
        look((5, 6), "succeeded", 100, 0),
    ],
    "an effect before its cause": [created(), look((2, 3), "succeeded", 100, 60), refund((4, 5), 60)],
    "a declined card is charged": [
        entry("create", (0, 1), 201, arguments={**_PAYMENT, "payment_method": "tok_declined"},
              body=payment("succeeded", 100)),
    ],
    "a good card is declined": [
        entry("create", (0, 1), 402, arguments=_PAYMENT, body={"payment": payment("failed")}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("history", EXPLAINED.values(), ids=EXPLAINED)
def test_explained(history: list[Entry]) -> None:
    assert explain(history) is not None


@pytest.mark.parametrize("history", UNEXPLAINED.values(), ids=UNEXPLAINED)
def test_unexplained(history: list[Entry]) -> None:
    assert explain(history) is None
