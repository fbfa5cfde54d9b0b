"""Saved queries promise answers: each is run over lines that the service's own code wrote, and finds what it is for."""

from collections.abc import Iterator, Mapping

import pytest

from payments.repositories.database import Database
from stages.monitoring.log_queries import QUERIES
from tests.service.fixtures import Postgres, make_key
from tests.service.insights import UnknownSyntaxError, matched, parse, rows, run
from tests.service.telemetry import Telemetry, collect


@pytest.fixture(scope="module")
def telemetry(migrated: Postgres, _pool: Database, _journal_pool: Database) -> Iterator[Telemetry]:
    migrated.empty()
    yield collect(migrated, _pool, _journal_pool, make_key(migrated, "mer_alice"))
    migrated.empty()


@pytest.fixture(scope="module")
def lines(telemetry: Telemetry) -> list[dict[str, object]]:
    """Of the two log groups that the queries read."""
    return rows([line for process in ("api", "worker") for line in telemetry.lines[process]])


def asked(name: str, telemetry: Telemetry) -> str:
    """A query as a person runs it; a machine of tests is too fast for the slow ones."""
    text = QUERIES[name]
    for placeholder, value in (
        ("pay_REPLACE_ME", telemetry.payment_id),
        ("req_REPLACE_ME", telemetry.failed_request_id),
        ("key_REPLACE_ME", telemetry.key_id),
        ("duration_ms > 1000", "duration_ms > 0"),
    ):
        text = text.replace(placeholder, value)
    return text


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_fields_exist_in_matching_lines(name: str, telemetry: Telemetry, lines: list[dict[str, object]]) -> None:
    query = parse(asked(name, telemetry))
    assert run(query, lines), "the query finds nothing"
    found = matched(query, lines)
    if name == "payment-story":  # no single payment has every field
        found += matched(parse(QUERIES[name].replace("pay_REPLACE_ME", telemetry.declined_id)), lines)
    missing = {each for each in query.fields if all(each not in row for row in found)}
    assert not missing, f"{name}: no line that it finds has {sorted(missing)}"


def test_a_payments_story_is_told_by_request_worker_and_webhooks(
    telemetry: Telemetry, lines: list[dict[str, object]]
) -> None:
    found = run(parse(asked("payment-story", telemetry)), lines)
    told = [(row["process"], row["message"], row["outcome"]) for row in found]
    assert told[0] == ("api", "request", "unknown")
    assert ("worker", "attempt looked up", "approved") in told
    assert ("worker", "webhook delivered", None) in told
    assert found[0]["route"] == "/v1/payments"


def test_a_declined_payment_is_found_and_counted(telemetry: Telemetry, lines: list[dict[str, object]]) -> None:
    text = QUERIES["payment-story"].replace("pay_REPLACE_ME", telemetry.declined_id)
    (request, *_) = run(parse(text), lines)
    assert (request["status"], request["outcome"], request["decline_code"]) == (402, "declined", "generic_decline")
    assert request["payment_status"] == "failed"
    (declines,) = run(parse(QUERIES["declines-by-code"]), lines)
    assert (declines["decline_code"], declines["operation"], declines["declines"]) == ("generic_decline", "payment", 1)


def test_a_failed_request_leads_to_its_exception(telemetry: Telemetry, lines: list[dict[str, object]]) -> None:
    (failed,) = run(parse(QUERIES["failed-requests"]), lines)
    assert (failed["status"], failed["problem"]) == (500, "internal_error")
    story = run(parse(asked("request-story", telemetry)), lines)
    assert "RuntimeError: planted" in "".join(str(row["exception"]) for row in story)


def test_what_was_done_with_a_leaked_key_is_told(telemetry: Telemetry, lines: list[dict[str, object]]) -> None:
    found = run(parse(asked("key-story", telemetry)), lines)
    assert {(row["route"], row["operation"]) for row in found} >= {
        ("/v1/payments", "payment"),
        ("/v1/payments/<payment_id>/refunds", "refund"),
        ("/v1/webhook_endpoints", None),
    }


def test_a_refused_configuration_names_its_code(telemetry: Telemetry, lines: list[dict[str, object]]) -> None:
    found = run(parse(QUERIES["recovery"]), lines)
    assert [row["reason"] for row in found if row["message"] == "the processor refuses our configuration"] == ["401"]


def test_a_replay_is_marked_and_names_its_payment(lines: list[dict[str, object]]) -> None:
    (replay,) = [row for row in lines if row.get("replayed")]
    assert str(replay["payment_id"]).startswith("pay_")
    assert "outcome" not in replay, "it must not be counted as a second one"


def test_what_a_client_put_into_a_path_is_not_logged(telemetry: Telemetry) -> None:
    assert "4242424242424242" not in "".join(telemetry.lines["api"])


MISTAKES: Mapping[str, str] = {
    "a field that nobody logs": "fields elapsed | filter message = 'request' | sort elapsed desc",
    "a field of other lines": "fields head | filter message = 'request'",
    "another value": "fields @timestamp | filter message = 'requested'",
    "text for a number": "fields @timestamp | filter status = '503'",
}


@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_a_planted_mistake_is_found(mistake: str, lines: list[dict[str, object]]) -> None:
    query = parse(MISTAKES[mistake])
    found = matched(query, lines)
    assert not found or any(all(each not in row for row in found) for each in query.fields)


@pytest.mark.parametrize(
    "text",
    [
        "filter status in [500, 503]",
        "filter a = 1 and b = 2 or c = 3",
        "fields a | dedup a",
        "stats sum(a) as b by c",
        "stats count(*) as n by a | sort b desc",
        "limit all",
    ],
)
def test_unknown_syntax_is_refused(text: str) -> None:
    with pytest.raises(UnknownSyntaxError):
        parse(text)
