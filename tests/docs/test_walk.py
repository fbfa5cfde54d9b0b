"""docs/architecture.md describes the walk of a payment as it is: its files, statements and round trips."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any  # what a patched method passes on

import pytest

import payments
from payments.repositories import database as repositories_database
from payments.repositories.connection import Connection, Reply
from payments.repositories.database import Database
from stages.config import capacity_model
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


def test_a_payment_takes_the_statements_and_round_trips_that_are_told(
    database: Database, journal: Database, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(sandbox_context(database, journal), key)
    client.create()  # reads the API key
    trips, statements = list[str](), list[bytes]()
    send, cursor, receive = Connection._send, Connection.cursor, Connection._receive

    def note_statement(self: Connection, reply: Reply) -> Any:
        statements.append(reply.statement)
        return send(self, reply)

    def note_trip(self: Connection) -> Any:
        trips.append("queued")
        return receive(self)

    def note_cursor(self: Connection, *args: Any, **kwargs: Any) -> Any:
        trips.append("not queued")
        return cursor(self, *args, **kwargs)

    monkeypatch.setattr(repositories_database, "_CHECK_AFTER_IDLE", 600.0)
    monkeypatch.setattr(Connection, "_send", note_statement)
    monkeypatch.setattr(Connection, "_receive", note_trip)
    monkeypatch.setattr(Connection, "cursor", note_cursor)
    assert client.json(client.create())["status"] == "succeeded"
    assert trips == ["queued"] * capacity_model.ROUND_TRIPS
    assert len(statements) == capacity_model.STATEMENTS
    assert statements.count(b"COMMIT") == capacity_model.COMMITS
    assert (capacity_model.ROUND_TRIPS, f"four, with {len(statements)} statements" in TEXT) == (4, True)
