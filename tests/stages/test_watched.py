"""Every business metric of dashboards and alarms is emitted by a real run of the service."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from payments.observability.metrics import NAMESPACE
from payments.repositories.database import Database
from tests.service.fixtures import Postgres, make_key
from tests.service.telemetry import ENVIRONMENT, collect
from tests.stages.model import Templates

#: A metric's name and its dimensions.
Series = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture(scope="module")
def reported(migrated: Postgres, _pool: Database, _journal_pool: Database) -> Iterator[set[Series]]:
    """Every series that CloudWatch would make of the log lines of a run."""
    migrated.empty()
    telemetry = collect(migrated, _pool, _journal_pool, make_key(migrated, "mer_alice"))
    yield {series for document in telemetry.documents for series in _of(document)}
    migrated.empty()


def _of(document: dict[str, Any]) -> Iterator[Series]:
    for directive in document["_aws"]["CloudWatchMetrics"]:
        assert directive["Namespace"] == NAMESPACE
        for names in directive["Dimensions"]:
            for metric in directive["Metrics"]:
                assert metric["Name"] in document
                yield metric["Name"], frozenset((name, document[name]) for name in names)


def _watched(templates: Templates) -> set[Series]:
    """Every series of the business that a widget or an alarm of an environment refers to."""
    found: set[Series] = set()
    board = templates.one("AWS::CloudWatch::Dashboard")
    for widget in json.loads(str(templates.resolve(board.stack, board["DashboardBody"])))["widgets"]:
        for metric in widget["properties"]["metrics"]:
            if metric[0] == NAMESPACE:
                pairs = [part for part in metric[2:] if isinstance(part, str)]
                found.add((metric[1], frozenset(zip(pairs[::2], pairs[1::2], strict=True))))
    for alarm in templates.all("AWS::CloudWatch::Alarm"):
        plain = [alarm.properties] if "MetricName" in alarm.properties else []
        metrics = [each["MetricStat"]["Metric"] for each in alarm.properties.get("Metrics", []) if "MetricStat" in each]
        for metric in [*plain, *metrics]:
            if metric["Namespace"] == NAMESPACE:
                found.add(
                    (metric["MetricName"], frozenset((each["Name"], each["Value"]) for each in metric["Dimensions"]))
                )
    return found


def test_every_business_metric_is_emitted(dev: Templates, reported: set[Series]) -> None:
    watched = _watched(dev)
    assert len(watched) >= 8
    assert watched <= reported, f"{sorted(map(str, watched - reported))} would stay empty"


def test_a_missing_dimension_is_detected(reported: set[Series]) -> None:
    assert ("Payments", frozenset({("Environment", ENVIRONMENT), ("Outcome", "succeeded")})) in reported
    assert ("Payments", frozenset({("Environment", ENVIRONMENT), ("Outcome", "approved")})) not in reported


def test_firewall_metrics_use_the_web_acls_metric_name(each: Templates) -> None:
    """The dimension is the metric name in the ACL's visibility configuration, not the ACL's name."""
    acl = each.one("AWS::WAFv2::WebACL")
    board = each.one("AWS::CloudWatch::Dashboard")
    body = str(each.resolve(board.stack, board["DashboardBody"]))
    asked = {tuple(metric[2:8]) for metric in _metrics(body) if metric[0] == "AWS/WAFV2"}
    assert asked
    for pairs in asked:
        assert dict(zip(pairs[::2], pairs[1::2], strict=True)) == {
            "WebACL": acl["VisibilityConfig"]["MetricName"],
            "Region": "us-east-1",
            "Rule": "ALL",
        }


def _metrics(body: str) -> Iterator[list[Any]]:
    for widget in json.loads(body)["widgets"]:
        yield from widget["properties"]["metrics"]
