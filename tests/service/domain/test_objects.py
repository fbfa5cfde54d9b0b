"""The domain's objects are immutable."""

import dataclasses
import inspect

import pytest

from payments.domain import api_keys, disputes, ledger, operations, outcomes, payments, snapshots, transitions

MODULES = (api_keys, disputes, ledger, operations, outcomes, payments, snapshots, transitions)
OBJECTS = [
    member
    for module in MODULES
    for _, member in inspect.getmembers(module, dataclasses.is_dataclass)
    if member.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", OBJECTS, ids=lambda kind: kind.__name__)
def test_objects_are_frozen_and_keyword_only(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # set by @dataclass
    assert all(field.kw_only for field in dataclasses.fields(kind))
