"""The CloudFormation resource schemas and the service authorization reference, both as cfn-lint brings them.

The files are read as they are, because importing cfn-lint takes seconds and sixty megabytes.
"""

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rehearsal.emulator.client import REGION


@cache
def schema_of(type_name: str) -> Mapping[str, Any]:
    """Return a type's schema; an empty one for types without one (custom resources)."""
    index = _index()
    if type_name not in index:
        return {}
    path = _folder() / "schemas" / "resources" / f"{index[type_name]}.json"
    schema: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


@cache
def service_reference() -> Mapping[str, Any]:
    """Return service prefix -> `Actions` (in lower case, with the kinds of resource each takes) and `Resources`."""
    path = _folder() / "AdditionalSpecs" / "Policies.json"
    reference: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return reference


@cache
def _index() -> Mapping[str, str]:
    """Return type -> file name of its schema."""
    path = _folder() / "schemas" / "providers" / f"{REGION}.json"
    index: Mapping[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return index


@cache
def _folder() -> Path:
    package = importlib.util.find_spec("cfnlint")
    assert package is not None  # noqa: S101  a pinned requirement
    assert package.origin is not None  # noqa: S101
    return Path(package.origin).parent / "data"
