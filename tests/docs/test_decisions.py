"""Every decision record has the same form, and the index lists each of them under one topic."""

import re
from pathlib import Path

import pytest

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"
RECORDS = sorted(DECISIONS.glob("[0-9]*.md"))
SECTIONS = ["Context", "Decision", "Consequences"]
OPTIONAL = ["Alternatives considered"]
TOPICS = [
    "Payments and ledger",
    "Idempotency and recovery",
    "Database",
    "API",
    "Server and performance",
    "Webhooks",
    "Processor",
    "Network and AWS resources",
    "Pipeline",
    "Gates",
    "Rehearsal",
    "Operations",
]
Row = tuple[str, ...]

_HEAD = re.compile(
    r"# (?P<number>\d{4}) (?P<title>.+)\n\n"
    r"Date: (?P<date>\d{4}-\d\d-\d\d)\n\n"
    r"Status: (?P<status>Accepted|Superseded by (?P<successor>\d{4}))\n\n"
)


def head_of(record: Path) -> re.Match[str]:
    found = _HEAD.match(record.read_text())
    assert found, f"{record.name} must begin with '# NNNN Title', 'Date: YYYY-MM-DD' and 'Status: Accepted'"
    return found


def sections_of(text: str) -> list[str]:
    """Headings of the sections that say something."""
    return re.findall(r"^## (.+)\n\n(?=[^#\s])", text.replace("\n### ", "\n"), re.M)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name[:4])
def test_a_record_has_number_date_status_and_every_section(record: Path) -> None:
    head = head_of(record)
    assert record.name.startswith(f"{head['number']}-")
    headings = sections_of(record.read_text())
    assert [each for each in headings if each not in OPTIONAL] == SECTIONS
    if head["successor"]:
        assert list(DECISIONS.glob(f"{head['successor']}-*.md")), "superseded by a record that does not exist"


def index() -> dict[str, list[Row]]:
    """Number, file, title, date and status of each row of the index, by topic."""
    _, *topics = re.split(r"^## ", (DECISIONS / "README.md").read_text(), flags=re.M)
    row = re.compile(r"^\| \[(\d{4})\]\((.+)\) \| (.+) \| (.+) \| (.+) \|$", re.M)
    return {topic.partition("\n")[0]: row.findall(topic) for topic in topics}


def test_the_index_lists_every_record_as_it_is_under_one_topic() -> None:
    rows = [row for listed in index().values() for row in listed]
    records = [(head_of(each), each.name) for each in RECORDS]
    assert sorted(rows) == [
        (head["number"], name, head["title"], head["date"], head["status"]) for head, name in records
    ]
    assert len(rows) > 30


def test_the_index_is_by_topic_and_in_order_within_each() -> None:
    topics = index()
    assert list(topics) == TOPICS
    assert all(rows and rows == sorted(rows) for rows in topics.values())
