"""The service's packages import only downwards."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_PACKAGE = Path(__file__).parents[2] / "service" / "payments"
#: From the bottom to the top; a package imports only from layers below its own. The last are the entry points.
_LAYERS = (
    {"core", "delivery", "domain", "observability"},
    {"repositories"},
    {"processors"},
    {"services"},
    {"web.http"},
    {"web.openapi"},
    {"web.endpoints"},
    {"web", "worker"},
    {"server"},
    {"cli"},
    {""},
)
_LEVELS = {name: level for level, layer in enumerate(_LAYERS) for name in layer}
_PACKAGES = sorted({file.parent for file in _PACKAGE.rglob("*.py")})


def _name(package: Path) -> str:
    return ".".join(package.relative_to(_PACKAGE).parts)


def _imports(file: Path) -> Iterator[Path]:
    """Yield the package of every module of the service that ``file`` imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        for name in names:
            root, *parts = name.split(".")
            if root != "payments":
                continue
            path = _PACKAGE.joinpath(*parts)
            while not path.is_dir():
                path = path.parent
            yield path


@pytest.mark.parametrize("package", _PACKAGES, ids=_name)
def test_imports_point_down(package: Path) -> None:
    level = _LEVELS[_name(package)]
    for file in package.glob("*.py"):
        upward = [_name(found) for found in _imports(file) if found != package and _LEVELS[_name(found)] >= level]
        assert not upward, f"{file.relative_to(_PACKAGE)} imports {upward}"
