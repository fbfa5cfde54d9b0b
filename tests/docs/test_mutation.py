"""The mutation score is of the whole domain: a module that it does not list has not been measured."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def has_functions(module: Path) -> bool:
    """Whether there is a function that mutmut changes: it leaves decorated ones alone."""
    functions = (node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.FunctionDef))
    return any(not function.decorator_list for function in functions)


def test_every_module_of_the_domain_has_a_score() -> None:
    rows = re.findall(r"^\| (\w+) \| \d+ \| \d+ \| \d+ \|$", (ROOT / "docs" / "mutation.md").read_text(), re.MULTILINE)
    modules = (ROOT / "service" / "payments" / "domain").glob("*.py")
    assert rows == sorted(module.stem for module in modules if has_functions(module))
