"""Print the test files nearest to what changed: `python -m tools.nearest_tests [SINCE]`, which `make check` runs.

A changed test file is its own nearest test. For any other Python file, the nearest tests are those that import it; if
none does, those that import one of its importers, and so on outwards until there are some. For a file that no test
reaches by imports (a document, a template, a migration), they are the tests that name the file, or else the closest of
its folders.

These are the tests most likely to fail first, not all that could fail: `make test` runs everything.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

#: Importers of each Python file, both relative to the project.
Importers = Mapping[Path, Sequence[Path]]


def changed_files(project: Path, since: str) -> set[Path]:
    """Return what differs from the commit `since`, new files included and deleted ones left out."""
    tracked = _lines(project, "git", "diff", "--name-only", "--relative", "--diff-filter=d", since)
    untracked = _lines(project, "git", "ls-files", "--others", "--exclude-standard")
    return {Path(name) for name in tracked + untracked}


def read_importers(project: Path) -> Importers:
    """Return the import graph, as ruff resolves it."""
    output = "".join(_lines(project, "ruff", "analyze", "graph", "--quiet", "--direction", "dependents"))
    return {Path(name): [Path(importer) for importer in importers] for name, importers in json.loads(output).items()}


def nearest_tests(changed: Iterable[Path], importers: Importers, project: Path) -> set[Path]:
    """Return the test files to run first for a set of changed files."""
    found: set[Path] = set()
    for file in changed:
        found |= _by_imports(file, importers) or _by_name(file, project)
    return found


def _by_imports(file: Path, importers: Importers) -> set[Path]:
    ring, seen = {file}, {file}
    while ring:
        tests = {each for each in ring if _is_test(each)}
        if tests:
            return tests
        ring = {importer for each in ring for importer in importers.get(each, ())} - seen
        seen |= ring
    return set()


def _by_name(file: Path, project: Path) -> set[Path]:
    texts = {test: test.read_text(encoding="utf-8") for test in (project / "tests").rglob("test_*.py")}
    for each in (file, *file.parents[:-2]):  # outwards, but not the folders of the root: everything is in one of them
        mention = re.compile(rf"""["'/]{re.escape(each.name)}["'/]""")
        tests = {test.relative_to(project) for test, text in texts.items() if mention.search(text)}
        if tests:
            return tests
    return set()


def _is_test(file: Path) -> bool:
    return file.parts[0] == "tests" and file.name.startswith("test_") and file.suffix == ".py"


def _lines(project: Path, *command: str) -> list[str]:
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def main(arguments: Sequence[str]) -> None:
    """Print one test file a line, for the changes since a commit, by default the last one."""
    project = Path.cwd()
    since = arguments[0] if arguments else "HEAD"
    for test in sorted(nearest_tests(changed_files(project, since), read_importers(project), project)):
        print(test)


if __name__ == "__main__":
    main(sys.argv[1:])
