"""Calls of the Stripe adapter for tests, and what leads up to them."""

import itertools
from typing import Any

from payments.domain.outcomes import Outcome, Result
from payments.processors.base import Call, CallKind
from payments.processors.stripe import StripeProcessor

_numbers = itertools.count()


def new_call(kind: CallKind = CallKind.PAYMENT, **changes: Any) -> Call:
    number = next(_numbers)
    values: dict[str, Any] = {
        "kind": kind,
        "attempt_id": f"att_{number}",
        "payment_id": f"pay_{number}",
        "merchant_id": "mer_1",
        "livemode": False,
        "amount": 1000,
        "currency": "EUR",
        "payment_method": "pm_card_visa",
        "timeout": 3.0,
    }
    return Call(**{**values, **changes})


def changed(call: Call, **changes: object) -> Call:
    return Call(**{**vars(call), **changes})


def prepared(processor: StripeProcessor, **changes: Any) -> Call:
    call = new_call(**changes)
    return changed(call, charge_reference=processor.prepare(call).reference)


def authorized(processor: StripeProcessor, **changes: Any) -> str:
    call = prepared(processor, final=False, **changes)
    assert processor.authorize(call).outcome is Outcome.APPROVED
    assert call.charge_reference is not None
    return call.charge_reference


def captured(processor: StripeProcessor, **changes: Any) -> str:
    call = prepared(processor, **changes)
    assert processor.authorize(call).outcome is Outcome.APPROVED
    assert call.charge_reference is not None
    return call.charge_reference


def settle(processor: StripeProcessor, call: Call, result: Result) -> Result:
    """Settle an attempt as the worker does after the deadline."""
    for _ in range(5):
        if result.is_final:
            return result
        result = processor.look_up(call)
        if result.outcome is Outcome.UNCONFIRMED:
            result = processor.abandon(call)
    return result
