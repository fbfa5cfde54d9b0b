"""The service's packages import only downwards."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

_PROJECT = Path(__file__).parents[2]
_SERVICE = Path("service/payments")
#: From the bottom to the top; a package imports only from layers below its own. The last are the entry points.
_LAYERS = (
    {"core", "delivery", "domain", "observability"},
    {"client", "repositories"},  # the client knows the public API, and no database
    {"processors"},
    {"services"},
    {"web/http"},
    {"web/openapi"},
    {"web/endpoints"},
    {"web", "worker"},
    {"server"},
    {"cli"},
    {"."},
)
_LEVELS = {package: level for level, layer in enumerate(_LAYERS) for package in layer}


def _package(file: str) -> str:
    return str(Path(file).parent.relative_to(_SERVICE))


@pytest.fixture(scope="module")
def imports() -> Mapping[str, list[str]]:
    """Each file of the service, and the files of the service that it imports."""
    command = [str(Path(sys.executable).with_name("ruff")), "analyze", "graph", "--quiet", str(_SERVICE)]
    output = subprocess.run(command, cwd=_PROJECT, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(output))


@pytest.mark.parametrize("package", sorted(_LEVELS))
def test_imports_point_down(imports: Mapping[str, list[str]], package: str) -> None:
    files = [file for file in imports if _package(file) == package]
    assert files
    upward = [
        (file, imported)
        for file in files
        for imported in imports[file]
        if _package(imported) != package and _LEVELS[_package(imported)] >= _LEVELS[package]
    ]
    assert not upward


def test_every_package_has_a_layer(imports: Mapping[str, list[str]]) -> None:
    assert {_package(file) for file in imports} == set(_LEVELS)
