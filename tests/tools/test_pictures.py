"""The pictures of docs/pictures show what the service's code says, and can be read."""

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import psycopg
import pytest

from payments.domain import disputes, ledger
from payments.domain import payments as payment_domain
from payments.domain.ledger import Account, PostingKind
from payments.domain.outcomes import Outcome, Result
from payments.domain.payments import PaymentStatus
from payments.processors.base import Call
from payments.repositories.database import Database
from tests.service.api import Client, context_with
from tests.service.fixtures import ApiKey, Postgres
from tests.service.scripted import Scripted
from tests.service.services import victim
from tools.pictures.gallery import FOLDER, OF_THE_SERVICE
from tools.pictures.transactions import CRASHES, TABLES

PICTURES = sorted(FOLDER.glob("*.svg"))
_SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", OF_THE_SERVICE)
def test_a_picture_shows_the_code(name: str) -> None:
    assert (FOLDER / f"{name}.svg").read_text() == OF_THE_SERVICE[name](), f"{name}.svg is stale: run make pictures"


def test_another_transition_is_another_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    table = dict(payment_domain.TRANSITIONS)
    table[PaymentStatus.PARTIALLY_CAPTURED] = frozenset({PaymentStatus.SUCCEEDED, PaymentStatus.FAILED})
    monkeypatch.setattr("tools.pictures.course.TRANSITIONS", table)
    with pytest.raises(ValueError, match="What leads from partially_captured to failed"):
        OF_THE_SERVICE["payment-states"]()


def test_another_state_of_a_dispute_is_another_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    status = disputes.DisputeStatus
    table = dict(disputes.TRANSITIONS) | {status.WON: frozenset({status.LOST})}
    monkeypatch.setattr("tools.pictures.disputes.TRANSITIONS", table)
    with pytest.raises(ValueError, match="won to lost"):
        OF_THE_SERVICE["dispute-states"]()


def test_another_posting_is_another_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    before = OF_THE_SERVICE["ledger"]()
    accounts = dict(ledger.ACCOUNTS)
    accounts[PostingKind.FEE] = (Account.MERCHANT_PAYABLE, Account.DISPUTES)
    monkeypatch.setattr("tools.pictures.ledger.ACCOUNTS", accounts)
    assert OF_THE_SERVICE["ledger"]() != before


class Watching(Scripted):
    """Approves, and looks into the database between the two transactions."""

    def __init__(self, postgres: Postgres) -> None:
        super().__init__()
        self._postgres = postgres
        self.seen: dict[str, set[str]] = {}

    def authorize(self, call: Call) -> Result:
        self.seen = last_writers(self._postgres)
        return Result(outcome=Outcome.APPROVED, reference="ref_1")


def last_writers(postgres: Postgres) -> dict[str, set[str]]:
    """Tables to the transactions that wrote their rows last."""
    with psycopg.connect(postgres.superuser) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        found = {
            table: {str(xmin) for (xmin,) in connection.execute(f'SELECT xmin::text FROM "{table}"').fetchall()}
            for (table,) in tables
        }
    return {table: writers for table, writers in found.items() if writers}


def written(before: dict[str, set[str]], after: dict[str, set[str]]) -> tuple[set[str], set[str]]:
    """The tables written in between, and the transactions that did it."""
    new = {table: writers - before.get(table, set()) for table, writers in after.items()}
    return {table for table, writers in new.items() if writers}, set().union(*new.values())


def test_a_payment_writes_the_tables_of_the_picture(database: Database, postgres: Postgres, key: ApiKey) -> None:
    processor = Watching(postgres)
    client = Client(context_with(database, processor), key)
    before = last_writers(postgres)
    assert client.create().status_code == 201
    tables, transactions = written(before, processor.seen)
    assert (tables, len(transactions)) == (set(TABLES["Tx1"]), 1)
    tables, transactions = written(processor.seen, last_writers(postgres))
    assert (tables, len(transactions)) == (set(TABLES["Tx2"]), 1)


def test_the_crashes_of_the_picture_are_those_that_tests_cause() -> None:
    assert list(CRASHES) == list(victim.POINTS)


@dataclass(frozen=True, kw_only=True)
class Area:
    """Where something stands in a picture."""

    left: float
    top: float
    right: float
    bottom: float
    what: str = ""

    def overlaps(self, other: "Area") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def contains(self, other: "Area") -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def text_area(text: ET.Element) -> Area:
    """Roughly what a line takes in a wide font."""
    size, content = float(text.attrib["font-size"]), text.text or ""
    width = len(content) * size * (0.62 if {"font-family", "font-weight"} & text.attrib.keys() else 0.56)
    left = float(text.attrib["x"]) - {"start": 0.0, "middle": width / 2, "end": width}[text.attrib["text-anchor"]]
    y = float(text.attrib["y"])
    return Area(left=left, top=y - 0.75 * size, right=left + width, bottom=y + 0.2 * size, what=content)


def box_area(box: ET.Element) -> Area:
    x, y, width, height = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
    return Area(left=x, top=y, right=x + width, bottom=y + height)


def test_the_folder_has_every_picture() -> None:
    assert {"pipeline", "network", *OF_THE_SERVICE} == {picture.stem for picture in PICTURES}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_texts_can_be_read(picture: Path) -> None:
    root = ET.fromstring(picture.read_text())
    assert float(root.attrib["width"]) <= 1000
    assert [(root.findtext(f"{_SVG}{name}") or "") != "" for name in ("title", "desc")] == [True, True]
    assert "prefers-color-scheme:dark" in (root.findtext(f"{_SVG}style") or "")
    texts = [text_area(text) for text in root.iter(f"{_SVG}text")]
    boxes = [box_area(box) for box in root.iter(f"{_SVG}rect")]
    assert min(float(size) for size in re.findall(r'font-size="(\d+)"', picture.read_text())) >= 12
    assert [text.what for text in texts for box in boxes if box.overlaps(text) and not box.contains(text)] == []
    assert [(one.what, two.what) for one in texts for two in texts if one is not two and one.overlaps(two)] == []
    assert all(boxes[0].contains(text) for text in texts), "the card holds everything"
