"""Every threat on the security page names the tests that hold its mitigation, and each of them exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
#: What the page says where no test can tell, or none does.
UNTESTED = "not tested"


def named(text: str) -> list[tuple[str, str]]:
    """Tests in backticks, as file below `tests/` and name."""
    return re.findall(r"`([\w/]+\.py)::(\w+)`", text)


def missing(text: str) -> Iterator[str]:
    """Tests that are named and do not exist."""
    for file, name in named(text):
        path = TESTS / file
        found = ast.walk(ast.parse(path.read_text())) if path.is_file() else ()
        if name not in {each.name for each in found if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}:
            yield f"{file}::{name}"


def tables(text: str, first: str) -> list[list[list[str]]]:
    """The cells of every table whose first column is called `first`."""
    found = re.findall(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)
    return [[[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()] for rows in found]


def test_every_test_that_the_page_names_exists() -> None:
    assert list(missing(PAGE)) == []
    assert len(set(named(PAGE))) > 80
    assert PAGE.count("::test_") == len(named(PAGE)), "a name in another form is not checked"


def test_every_threat_has_a_test_or_says_that_it_has_none() -> None:
    boundaries = tables(PAGE, "STRIDE")
    section = PAGE.partition("\n## Threat model\n")[2].partition("\n## ")[0]
    assert len(boundaries) == section.count("\n### ") > 8
    rows = [row for boundary in boundaries for row in boundary]
    for letters, *_, held in rows:
        assert named(held) or UNTESTED in held, held
        assert set(letters.split(", ")) <= set("STRIDE"), letters
    assert {letter for letters, *_ in rows for letter in letters.split(", ")} == set("STRIDE")


def test_every_role_has_a_test() -> None:
    (roles,) = tables(PAGE, "role")
    assert [row for row in roles if not named(row[-1])] == []


def test_planted_mistakes_are_found() -> None:
    text = "`docs/test_security.py::test_planted_mistakes_are_found`"
    text += " `docs/test_security.py::test_gone` `docs/test_gone.py::test_gone`"
    assert list(missing(text)) == ["docs/test_security.py::test_gone", "docs/test_gone.py::test_gone"]
    assert tables("| STRIDE | threat |\n|---|---|\n| S, T | a |\n", "STRIDE") == [[["S, T", "a"]]]
