"""docs/architecture.md describes the way of a payment through the files as it is."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

import payments
from payments.repositories.database import Database
from tests.service.api import Client, sandbox_context
from tests.service.fixtures import ApiKey

PACKAGE = Path(payments.__file__).parent
TEXT = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()


def steps() -> Iterator[list[str]]:
    """The files of each step of the table; a bare name is in the folder of the one before it."""
    for row in re.findall(r"^\| \d+\. .+ \| (.+) \|$", TEXT, re.M):
        folder, files = Path(), list[str]()
        for path in map(Path, re.findall(r"`([\w/]+\.py)`", row)):
            folder = path.parent if len(path.parts) > 1 else folder
            files.append(str(folder / path.name))
        yield files


@pytest.fixture
def entered(database: Database, journal: Database, key: ApiKey) -> list[str]:
    """The file of each call while a payment is created, in order."""
    client, found = Client(sandbox_context(database, journal), key), list[str]()

    def note(frame: FrameType, event: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(PACKAGE):
            found.append(str(file.relative_to(PACKAGE)))

    sys.setprofile(note)
    try:
        created = client.create()
    finally:
        sys.setprofile(None)
    assert client.json(created)["status"] == "succeeded"
    return found


def test_a_payment_enters_the_files_of_each_step_in_order(entered: list[str]) -> None:
    server, *others = steps()
    assert {Path(file).parent.name for file in server} == {"server"}, "the client of this test begins behind it"
    assert len(others) == 11
    position = 0
    for file in (file for files in others for file in files):
        assert file in entered[position:], f"{file} is not entered there; before it came {entered[position]}"
        position = entered.index(file, position)
