"""The CloudFormation resource schemas and the service authorization reference, from the data files of cfn-lint.

The files are read directly, because an import of cfn-lint takes seconds and sixty megabytes.
"""

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rehearsal.account.sessions import REGION


@cache
def schema_of(type_name: str) -> Mapping[str, Any]:
    """Return the schema of a type; an empty one for types without a schema (custom resources)."""
    index = _index()
    if type_name not in index:
        return {}
    path = _folder() / "schemas" / "resources" / f"{index[type_name]}.json"
    schema: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


@cache
def service_reference() -> Mapping[str, Any]:
    """Return, by service prefix, the `Actions` (in lower case, with their resource types) and the `Resources`."""
    path = _folder() / "AdditionalSpecs" / "Policies.json"
    reference: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return reference


@cache
def _index() -> Mapping[str, str]:
    """Return the file name of each type's schema."""
    path = _folder() / "schemas" / "providers" / f"{REGION}.json"
    index: Mapping[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return index


@cache
def _folder() -> Path:
    package = importlib.util.find_spec("cfnlint")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the package cfn-lint is not installed")
    return Path(package.origin).parent / "data"
