"""The sandbox keeps a journal: it never moves more money than was authorized, whatever it is asked to do."""

from typing import Any

import pytest

from payments.domain.operations import CallKind
from payments.domain.outcomes import DeclineCode, Outcome
from payments.processors.base import Call
from payments.processors.sandbox import SandboxProcessor
from payments.repositories.database import Database


@pytest.fixture
def sandbox(journal: Database) -> SandboxProcessor:
    return SandboxProcessor(journal, public_base_url="https://localhost:8443")


def call(kind: CallKind, number: int, **changes: Any) -> Call:
    values: dict[str, Any] = {
        "kind": kind,
        "attempt_id": f"att_{number}",
        "payment_id": "pay_1",
        "merchant_id": "mer_1",
        "livemode": False,
        "amount": 1000,
        "currency": "EUR",
        "payment_method": "tok_visa",
        "timeout": 3.0,
    }
    return Call(**{**values, **changes})


@pytest.fixture
def charge(sandbox: SandboxProcessor) -> str:
    """Reference of an authorized charge."""
    result = sandbox.authorize(call(CallKind.PAYMENT, 0, final=False))
    assert result.outcome is Outcome.APPROVED
    return str(result.reference)


def test_an_unknown_charge_cannot_be_captured_or_refunded(sandbox: SandboxProcessor) -> None:
    for number, kind in enumerate((CallKind.CAPTURE, CallKind.REFUND), start=1):
        ask = sandbox.capture if kind is CallKind.CAPTURE else sandbox.refund
        result = ask(call(kind, number, charge_reference="never-made"))
        assert (result.outcome, result.decline_code) == (Outcome.DECLINED, DeclineCode.PROCESSING_ERROR)


def test_no_more_is_captured_than_was_authorized(sandbox: SandboxProcessor, charge: str) -> None:
    assert sandbox.capture(call(CallKind.CAPTURE, 1, charge_reference=charge, amount=600)).outcome is Outcome.APPROVED
    over = sandbox.capture(call(CallKind.CAPTURE, 2, charge_reference=charge, amount=401))
    assert (over.outcome, over.decline_code) == (Outcome.EXPIRED, DeclineCode.AUTHORIZATION_EXPIRED)
    assert sandbox.capture(call(CallKind.CAPTURE, 3, charge_reference=charge, amount=400)).outcome is Outcome.APPROVED


def test_a_voided_charge_cannot_be_captured(sandbox: SandboxProcessor, charge: str) -> None:
    assert sandbox.void(call(CallKind.VOID, 1, charge_reference=charge)).outcome is Outcome.APPROVED
    assert sandbox.capture(call(CallKind.CAPTURE, 2, charge_reference=charge, amount=1)).outcome is Outcome.EXPIRED


def test_a_charge_that_is_captured_at_once_cannot_be_voided(sandbox: SandboxProcessor) -> None:
    charge = sandbox.authorize(call(CallKind.PAYMENT, 0)).reference
    refused = sandbox.void(call(CallKind.VOID, 1, charge_reference=charge))
    assert (refused.outcome, refused.decline_code) == (Outcome.DECLINED, DeclineCode.ALREADY_CAPTURED)
    assert sandbox.refund(call(CallKind.REFUND, 2, charge_reference=charge)).outcome is Outcome.APPROVED


@pytest.mark.parametrize("first", ["decision", "void"])
def test_the_first_of_decision_and_void_counts(sandbox: SandboxProcessor, first: str) -> None:
    waiting = sandbox.authorize(call(CallKind.PAYMENT, 0, payment_method="tok_3ds"))
    token = str(waiting.redirect_url).rpartition("/")[2]
    void = call(CallKind.VOID, 1, charge_reference=waiting.reference, payment_method="tok_3ds")
    if first == "decision":
        assert sandbox.decide(token, approve=True)
        assert sandbox.void(void).outcome is Outcome.DECLINED
        assert sandbox.look_up(call(CallKind.PAYMENT, 0)).outcome is Outcome.APPROVED
    else:
        assert sandbox.void(void).outcome is Outcome.APPROVED
        assert not sandbox.decide(token, approve=True)
        assert sandbox.look_up(call(CallKind.PAYMENT, 0)).outcome is Outcome.NOT_DONE


def test_nothing_is_refunded_before_it_was_captured(sandbox: SandboxProcessor, charge: str) -> None:
    over = sandbox.refund(call(CallKind.REFUND, 1, charge_reference=charge, amount=1))
    assert (over.outcome, over.decline_code) == (Outcome.DECLINED, DeclineCode.REFUND_REFUSED)


def test_no_more_is_refunded_than_was_captured(sandbox: SandboxProcessor, charge: str) -> None:
    sandbox.capture(call(CallKind.CAPTURE, 1, charge_reference=charge, amount=600))
    assert sandbox.refund(call(CallKind.REFUND, 2, charge_reference=charge, amount=599)).outcome is Outcome.APPROVED
    over = sandbox.refund(call(CallKind.REFUND, 3, charge_reference=charge, amount=2))
    assert (over.outcome, over.decline_code) == (Outcome.DECLINED, DeclineCode.REFUND_REFUSED)
    assert sandbox.look_up(call(CallKind.REFUND, 3)).outcome is Outcome.DECLINED, "and stays so"
