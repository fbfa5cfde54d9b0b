"""A processor that returns scripted results, and helpers that let time pass for the worker."""

import sys
from datetime import timedelta
from typing import Any

import pytest

from payments.domain.outcomes import Outcome, Result
from payments.processors.base import Call, CallKind, Capabilities
from tests.service.api import Client, recover_due
from tests.service.fixtures import Postgres

UNKNOWN = Result(outcome=Outcome.UNKNOWN, detail="time-out")
APPROVED = Result(outcome=Outcome.APPROVED, reference="ref_1")


class Scripted:
    """A processor that returns the given results, and records its calls."""

    name = "scripted"
    payment_method_pattern = "^tok_"
    capabilities = Capabilities(
        multicapture=False, key_validity=timedelta(hours=23), authorization_validity=timedelta(days=7)
    )

    def __init__(self, **results: Result) -> None:
        self.results = results
        self.calls: list[tuple[str, Call]] = []

    def called(self) -> list[str]:
        return [name for name, _ in self.calls]

    def payment_method_error(self, payment_method: str) -> str | None:
        return None

    def currency_error(self, currency: str) -> str | None:
        return None

    def amount_error(self, kind: CallKind, amount: int, currency: str) -> str | None:
        return None

    def is_available(self) -> bool:
        return True

    def _return(self, name: str, call: Call) -> Result:
        self.calls.append((name, call))
        return self.results.get(name, UNKNOWN)

    def prepare(self, call: Call) -> Result | None:
        return None

    def authorize(self, call: Call) -> Result:
        return self._return("authorize", call)

    def capture(self, call: Call) -> Result:
        return self._return("capture", call)

    def void(self, call: Call) -> Result:
        return self._return("void", call)

    def refund(self, call: Call) -> Result:
        return self._return("refund", call)

    def look_up(self, call: Call) -> Result:
        return self._return("look_up", call)

    def abandon(self, call: Call) -> Result:
        return self._return("abandon", call)


class Preparing(Scripted):
    """Prepares an object first, like Stripe."""

    def prepare(self, call: Call) -> Result:
        return self._return("prepare", call)


def execute(postgres: Postgres, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    return postgres.execute(statement, *parameters)


def make_attempts_due_at_once(patch: pytest.MonkeyPatch) -> None:
    """Let attempts be due as if every request took as long as its deadline allows, whichever repository stores them."""
    for name, module in list(sys.modules.items()):
        if name.startswith("payments.repositories.") and hasattr(module, "PROCESSOR_DEADLINE"):
            patch.setattr(module, "PROCESSOR_DEADLINE", timedelta(0))


def look_up_now(client: Client, postgres: Postgres) -> None:
    """Run the worker's look-ups now, whenever they are scheduled."""
    execute(postgres, "UPDATE attempts SET next_look_at = now() WHERE status = 'open'")
    assert recover_due(client.context)
