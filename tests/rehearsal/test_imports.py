"""The rehearsal is a tool of its own: it knows an app by its cloud assembly only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rehearsal

PROJECT = Path(rehearsal.__file__).parents[1]
OTHERS = {"app", "benchmarks", "integ", "local", "operations", "payments", "pipeline", "service", "stages", "tools"}
OTHER_TESTS = {f"tests.{name}" for name in OTHERS}


def imported_modules(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("folder", ["rehearsal", "tests/rehearsal"])
def test_nothing_else_of_this_repository_is_imported(folder: str) -> None:
    imports = {
        (str(file.relative_to(PROJECT)), module)
        for file in (PROJECT / folder).rglob("*.py")
        for module in imported_modules(file)
    }

    assert len(imports) > 100
    assert [
        (file, module)
        for file, module in sorted(imports)
        if module.split(".")[0] in OTHERS or ".".join(module.split(".")[:2]) in OTHER_TESTS
    ] == []
