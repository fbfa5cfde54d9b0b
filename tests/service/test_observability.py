"""Logs are JSON lines without secrets, metrics are EMF, timing adds up by span."""

import json
import logging
import sys

import psycopg

from payments.domain import webhooks
from payments.domain.api_keys import compose, new_secret
from payments.observability import logs, timing
from payments.observability.metrics import Metrics
from tests.service.fixtures import Postgres


def test_a_log_line_is_one_json_object() -> None:
    formatter = logs.JsonFormatter(environment="test", process="api")
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f", 1, "said %s", ("so",), __import__("sys").exc_info(), extra={"payment_id": "pay_1"}
        )
    line = json.loads(formatter.format(record))
    assert (line["message"], line["level"], line["payment_id"], line["process"]) == ("said so", "ERROR", "pay_1", "api")
    assert "ValueError: broken" in line["exception"]
    assert "\n" not in formatter.format(record)


def test_secrets_and_rows_are_redacted(postgres: Postgres) -> None:
    formatter = logs.JsonFormatter(environment="test", process="api")
    token = compose(livemode=True, key_id="0123456789ab", secret=new_secret())
    signing = webhooks.new_secret()
    with psycopg.connect(postgres.superuser) as connection:
        try:
            connection.execute(
                "INSERT INTO merchants (id, name, fee_basis_points) VALUES ('mer_1', %s, -1)", ["Ann " + "Smith"]
            )
        except psycopg.errors.CheckViolation:
            quoting = sys.exc_info()
    record = logging.getLogger("x").makeRecord(
        "x", logging.ERROR, "f", 1, "said %s", (token,), quoting, extra={"header": f"Bearer {token}", "also": signing}
    )
    line = formatter.format(record)
    for secret in (token, token.rpartition("_")[2], signing, "Ann Smith"):
        assert secret not in line
    assert "sk_live_(not logged)" in line
    assert "DETAIL: (not logged)" in line
    assert "whsec_(not logged)" in line
    assert "merchants_fee_basis_points_check" in json.loads(line)["exception"], "the cause is still logged"


def test_metrics_are_aggregated_and_written_as_emf() -> None:
    metrics = Metrics("dev")
    for _ in range(3):
        metrics.count("Payments", dimension="Outcome", value="succeeded")
    for value in range(150):
        metrics.sample("ProcessorLatency", value, unit="Milliseconds")
    documents = list(metrics.drain(now=1.5))
    assert documents[0] == {
        "_aws": {
            "Timestamp": 1500,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Payments",
                    "Dimensions": [["Environment", "Outcome"]],
                    "Metrics": [{"Name": "Payments", "Unit": "Count"}],
                }
            ],
        },
        "Environment": "dev",
        "Outcome": "succeeded",
        "Payments": 3,
    }
    assert [document["ProcessorLatency"] for document in documents[1:]] == [[*range(100)], [*range(100, 150)]]
    assert list(metrics.drain()) == []
    written: list[str] = []
    metrics.sample("x", 1, unit="Count")
    metrics.flush(written.append)
    assert json.loads(written[0])["x"] == [1]


def test_spans_add_up() -> None:
    timing.begin()
    for _ in range(2):
        with timing.span("database"):
            pass
    spent = timing.milliseconds()
    assert set(spent) == {"total", "database"}
    assert 0 <= spent["database"] <= spent["total"]
