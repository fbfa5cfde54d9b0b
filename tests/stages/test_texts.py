"""Texts contain the numbers of the code: every threshold and period that an operator reads is compared with it."""

import json
import re

import pytest

from payments.cli.migrate import LOCK_DEADLINE, LOCK_TIMEOUT
from payments.domain.operations import PROCESSOR_DEADLINE, STUCK_AFTER
from payments.server import certificate as certificates
from payments.server import main as server
from payments.web.http.auth import CACHE_SECONDS
from payments.worker import main as worker
from stages.monitoring.alarms import (
    MAX_CONNECTIONS,
    MAX_DATABASE_CPU,
    MAX_RECOVERY_MINUTES,
    MAX_UNREAD_MINUTES,
    MAX_WEBHOOK_MINUTES,
    STUCK_MINUTES,
)
from stages.service.canary import BAKE_MINUTES, CANARY_MINUTES, CANARY_PERCENT
from stages.service.deployment_alarms import MAX_ERROR_RATE, MAX_P99_SECONDS
from tests.stages.model import PROJECT, Json, Resource, Templates
from tests.stages.quantities import Quantity, minutes, percent, quantities, seconds

RUNBOOK = (PROJECT / "docs" / "operations.md").read_text()
_STUCK = seconds(STUCK_AFTER.total_seconds())
#: Timeout of `aws ecs wait services-stable`: 40 checks, 15 seconds apart.
_WAITER = seconds(40 * 15)
#: Of `aws ecs wait tasks-stopped`: 100 checks, 6 seconds apart.
_STOPPED_WAITER = seconds(100 * 6)
_CANARY_MINUTES = CANARY_MINUTES + BAKE_MINUTES


def periods(templates: Templates, alarm: str) -> Quantity:
    """How long an alarm's condition must last."""
    (found,) = (each for each in templates.all("AWS::CloudWatch::Alarm") if f"-{alarm}-" in each["AlarmName"])
    return seconds(window(found))


def window(alarm: Resource) -> float:
    """Seconds: the period of the alarm's metric or expression, times the number of periods."""
    return float(alarm["EvaluationPeriods"] * max(_periods(alarm.properties)))


def _periods(value: Json) -> set[int]:
    found = {value["Period"]} if "Period" in value else set()
    for each in value.get("Metrics", []):
        found |= {each.get("MetricStat", {}).get("Period", each.get("Period", 60))}
    return found


def runbook(dev: Templates) -> dict[str, set[Quantity]]:
    """Quantities that each section of the runbook may contain, from the code; other sections contain none."""
    group = dev.one("AWS::ElasticLoadBalancingV2::TargetGroup")
    unhealthy = seconds(group["HealthCheckIntervalSeconds"] * group["UnhealthyThresholdCount"])
    return {
        "error-rate": {percent(MAX_ERROR_RATE), seconds(server._PATIENCE)},  # the constant itself
        "p99-latency": {seconds(MAX_P99_SECONDS)},
        "unhealthy-targets": {unhealthy},
        "worker-tasks": {seconds(worker._LONGEST_RUN)},  # the constant itself
        "database-cpu": {percent(MAX_DATABASE_CPU), periods(dev, "database-cpu")},
        "database-capacity": {periods(dev, "database-capacity")},
        "database-connections": {percent(MAX_CONNECTIONS)},
        "recovery-backlog": {minutes(MAX_RECOVERY_MINUTES), _STUCK},
        "stuck-payments": {_STUCK, seconds(PROCESSOR_DEADLINE.total_seconds())},
        "unmapped-events": {_STUCK},
        "processor-configuration": {_STUCK},
        "webhook-backlog": {minutes(MAX_WEBHOOK_MINUTES)},
        "readers-held-back": {minutes(MAX_UNREAD_MINUTES)},
        "Canary deployments": {
            percent(CANARY_PERCENT),
            minutes(CANARY_MINUTES),
            minutes(_CANARY_MINUTES),
        },
        "First merchant and live key": {seconds(CACHE_SECONDS)},
        "Run a command in an environment": {_STOPPED_WAITER},
        "Restore the database": {minutes(60)},  # of `query`
        "A migration that fails": {seconds(LOCK_TIMEOUT / 1000), seconds(LOCK_DEADLINE)},
        "Rotate a secret": {
            minutes(_CANARY_MINUTES),
            _WAITER,
            seconds(certificates._VALIDITY.total_seconds()),  # the constant itself
        },
    }


#: Sections whose numbers are not thresholds: a figure of speech, what was seen, the validity of an example certificate.
EXEMPT = {
    "Alarms",
    "What was tried",
    "Restore the database",
    "Every day: reconcile, verify",
    "Destroy",
    "Evaluate without a domain",
}


def sections(text: str) -> dict[str, str]:
    """Title to prose, code left out."""
    found = re.findall(r"^#+ (.+)\n((?:(?!#).*\n?)*)", text, re.M)
    return {title: re.sub(r"^    .*$|\]\([^)]*\)", "", body, flags=re.M) for title, body in found}


def contradictions(text: str, known: dict[str, set[Quantity]]) -> list[str]:
    return [
        f"{title}: {sorted(quantities(body) ^ known.get(title, set()))}"
        for title, body in sections(text).items()
        if title not in EXEMPT and quantities(body) != known.get(title, set())
    ]


def test_every_number_in_the_runbook_matches_the_code(dev: Templates) -> None:
    assert contradictions(RUNBOOK, runbook(dev)) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("found out in 30 minutes", "found out in an hour"),
        ("More than 5 %", "More than 4 %"),
        ("failed for 30 seconds", "failed for a minute"),
        ("within 5 seconds", "within five minutes"),
        ("10 % of the requests", "five % of the requests"),
        ("### worker-tasks\n", "### worker-tasks\n\nFor 7 minutes.\n"),
    ],
    ids=["hour", "percent", "minute", "minutes", "word", "added"],
)
def test_a_wrong_number_is_detected(dev: Templates, right: str, wrong: str) -> None:
    assert RUNBOOK.count(right) >= 1
    assert len(contradictions(RUNBOOK.replace(right, wrong), runbook(dev))) == 1


def allowed(alarm: Resource) -> set[Quantity]:
    """Quantities that an alarm's description may contain: period, threshold, or what it is computed from."""
    threshold = float(alarm["Threshold"])
    others = {"stuck-payments": {_STUCK}, "database-connections": {percent(MAX_CONNECTIONS)}}
    stated = next((found for name, found in others.items() if f"-{name}-" in alarm["AlarmName"]), set())
    return {seconds(window(alarm)), seconds(threshold), percent(threshold)} | stated


def test_every_number_in_an_alarm_matches_the_alarm(each: Templates) -> None:
    stated = 0
    for alarm in each.all("AWS::CloudWatch::Alarm"):
        found = quantities(alarm["AlarmDescription"])
        assert found <= allowed(alarm), f"{alarm['AlarmName']}: {sorted(found - allowed(alarm))}"
        stated += len(found)
    assert stated >= 10


def test_a_wrong_number_in_an_alarm_is_detected(dev: Templates) -> None:
    for alarm in dev.all("AWS::CloudWatch::Alarm"):
        assert not quantities("It took a day, or 77 %.") <= allowed(alarm)
    (stuck,) = (each for each in dev.all("AWS::CloudWatch::Alarm") if "-stuck-" in each["AlarmName"])
    assert not quantities("has remained unknown for an hour") <= allowed(stuck)


def test_stuck_minutes_match_the_service() -> None:
    assert minutes(STUCK_MINUTES) == _STUCK


def test_the_database_alarm_names_its_capacity(each: Templates) -> None:
    (alarm,) = (found for found in each.all("AWS::CloudWatch::Alarm") if "-database-capacity-" in found["AlarmName"])
    most = each.one("AWS::RDS::DBCluster")["ServerlessV2ScalingConfiguration"]["MaxCapacity"]
    assert f"all of its {most} ACUs" in alarm["AlarmDescription"]


def test_graphs_per_minute_have_periods_of_a_minute(each: Templates) -> None:
    found = each.one("AWS::CloudWatch::Dashboard")
    widgets = json.loads(str(each.resolve(found.stack, found["DashboardBody"])))["widgets"]
    counted = [
        widget["properties"] for widget in widgets if widget["properties"]["yAxis"]["left"]["label"] == "a minute"
    ]
    assert len(counted) == 2
    for graph in counted:
        for metric in graph["metrics"]:
            assert metric[-1]["period"] == 60, f"{graph['title']}: {metric}"
