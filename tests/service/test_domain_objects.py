"""What the domain's objects have in common."""

import dataclasses
import inspect

import pytest

from payments.domain import api_keys, ledger, operations, outcomes, payments, transitions

MODULES = (api_keys, ledger, operations, outcomes, payments, transitions)
OBJECTS = [
    member
    for module in MODULES
    for _, member in inspect.getmembers(module, dataclasses.is_dataclass)
    if member.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", OBJECTS, ids=lambda kind: kind.__name__)
def test_facts_never_change_and_are_told_by_name(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(field.kw_only for field in dataclasses.fields(kind))
