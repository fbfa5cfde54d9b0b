"""Every link and every path in the documents leads somewhere."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
#: What git tracks, so that what a build leaves behind makes no link look good.
TRACKED = [
    Path(name)
    for name in subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
]
DOCUMENTS = [file for file in TRACKED if file.suffix == ".md" and "fixture_app" not in file.parts]
EXISTING = {*TRACKED, *(parent for file in TRACKED for parent in file.parents)}
ROOT_FOLDERS = {file.parts[0] for file in TRACKED if len(file.parts) > 1}


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", (PROJECT / document).read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path, text: str) -> Iterator[str]:
    """Links to no tracked file or folder, or to no heading of theirs."""
    for link in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        absolute = (PROJECT / document.parent / name).resolve() if name else PROJECT / document
        target = absolute.relative_to(PROJECT)
        if target not in EXISTING or (anchor and anchor not in anchors(target)):
            yield link


def missing_paths(text: str) -> Iterator[str]:
    """Paths in backticks, and ends of paths of Python files; the last part may have wildcards."""
    for path in re.findall(r"`([\w./*-]+)`", text):
        folder, slash, _ = path.partition("/")
        is_path = path.endswith(".py") or (slash and folder in ROOT_FOLDERS)
        if is_path and not any(each.match(path.rstrip("/")) for each in EXISTING):
            yield path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem[:20])
def test_every_link_and_path_of_a_document_exists(document: Path) -> None:
    text = (PROJECT / document).read_text()
    assert list(broken_links(document, text)) == []
    assert list(missing_paths(text)) == []


def test_a_planted_link_and_path_are_found() -> None:
    text = "[a](operations.md#no-such-section) [b](no-such-file.md) `docs/gone` `web/gone.py` `gone.py`"
    text += " [c](operations.md#alarms) `docs/` `docs/test_links.py`"
    assert list(broken_links(Path("docs/api.md"), text)) == ["operations.md#no-such-section", "no-such-file.md"]
    assert list(missing_paths(text)) == ["docs/gone", "web/gone.py", "gone.py"]
