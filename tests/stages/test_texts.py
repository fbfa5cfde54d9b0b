"""Texts promise the numbers of the code: every threshold and period that an operator reads is compared with it."""

import json
import re

import pytest

from payments import certificates
from payments.domain.operations import PROCESSOR_DEADLINE, STUCK_AFTER
from payments.web.auth import CACHE_SECONDS
from payments.worker import main as worker
from stages import canary as canary_stage
from stages.deployment_alarms import MAX_ERROR_RATE, MAX_P99_SECONDS
from stages.watch import MAX_DATABASE_CPU, MAX_RECOVERY_MINUTES, MAX_WEBHOOK_MINUTES, STUCK_MINUTES
from tests.stages.model import PROJECT, Json, Resource, Templates
from tests.stages.quantities import Quantity, minutes, percent, quantities, seconds

RUNBOOK = (PROJECT / "docs" / "operations.md").read_text()
_STUCK = seconds(STUCK_AFTER.total_seconds())
#: What `aws ecs wait services-stable` takes at most: 40 looks, 15 seconds apart.
_WAITER = seconds(40 * 15)
_CANARY_MINUTES = canary_stage.CANARY_MINUTES + canary_stage.BAKE_MINUTES


def periods(templates: Templates, alarm: str) -> Quantity:
    """How long an alarm's condition must last."""
    (found,) = (each for each in templates.all("AWS::CloudWatch::Alarm") if f"-{alarm}-" in each["AlarmName"])
    return seconds(window(found))


def window(alarm: Resource) -> float:
    """Seconds: periods of the metric or expression that the alarm watches, times how many."""
    return float(alarm["EvaluationPeriods"] * max(_periods(alarm.properties)))


def _periods(value: Json) -> set[int]:
    found = {value["Period"]} if "Period" in value else set()
    for each in value.get("Metrics", []):
        found |= {each.get("MetricStat", {}).get("Period", each.get("Period", 60))}
    return found


def runbook(dev: Templates) -> dict[str, set[Quantity]]:
    """What each section of the runbook may say, from where the code says it; sections without numbers are left out."""
    group = dev.one("AWS::ElasticLoadBalancingV2::TargetGroup")
    unhealthy = seconds(group["HealthCheckIntervalSeconds"] * group["UnhealthyThresholdCount"])
    return {
        "error-rate": {percent(MAX_ERROR_RATE)},
        "p99-latency": {seconds(MAX_P99_SECONDS)},
        "unhealthy-targets": {unhealthy},
        "worker-tasks": {seconds(worker._LONGEST_RUN)},  # the constant itself
        "database-cpu": {percent(MAX_DATABASE_CPU), periods(dev, "database-cpu")},
        "database-capacity": {periods(dev, "database-capacity")},
        "recovery-backlog": {minutes(MAX_RECOVERY_MINUTES), _STUCK},
        "stuck-payments": {_STUCK, seconds(PROCESSOR_DEADLINE.total_seconds())},
        "webhook-backlog": {minutes(MAX_WEBHOOK_MINUTES)},
        "Canary deployments": {
            percent(canary_stage.CANARY_PERCENT),
            minutes(canary_stage.CANARY_MINUTES),
            minutes(_CANARY_MINUTES),
        },
        "First merchant and live key": {seconds(CACHE_SECONDS)},
        "Rotate a secret": {
            minutes(_CANARY_MINUTES),
            _WAITER,
            seconds(certificates._VALIDITY.total_seconds()),  # the constant itself
        },
    }


#: Sections whose numbers are no thresholds: a figure of speech, the life of an example's certificate.
SPEECH = {"Every day: reconcile, verify", "Destroy", "Evaluate without a domain"}


def sections(text: str) -> dict[str, str]:
    """Title to prose, code left out."""
    found = re.findall(r"^#+ (.+)\n((?:(?!#).*\n?)*)", text, re.M)
    return {title: re.sub(r"^    .*$|\]\([^)]*\)", "", body, flags=re.M) for title, body in found}


def contradictions(text: str, known: dict[str, set[Quantity]]) -> list[str]:
    return [
        f"{title}: {sorted(quantities(body) ^ known.get(title, set()))}"
        for title, body in sections(text).items()
        if title not in SPEECH and quantities(body) != known.get(title, set())
    ]


def test_every_number_of_the_runbook_is_the_codes(dev: Templates) -> None:
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
)
def test_a_planted_number_is_found(dev: Templates, right: str, wrong: str) -> None:
    assert RUNBOOK.count(right) >= 1
    assert len(contradictions(RUNBOOK.replace(right, wrong), runbook(dev))) == 1


def allowed(alarm: Resource) -> set[Quantity]:
    """What an alarm's description may state: how long, its threshold, and when the service calls something stuck."""
    threshold = float(alarm["Threshold"])
    stuck = {_STUCK} if "-stuck-" in alarm["AlarmName"] else set()
    return {seconds(window(alarm)), seconds(threshold), percent(threshold)} | stuck


def test_every_number_of_an_alarms_description_is_the_alarms_own(each: Templates) -> None:
    stated = 0
    for alarm in each.all("AWS::CloudWatch::Alarm"):
        found = quantities(alarm["AlarmDescription"])
        assert found <= allowed(alarm), f"{alarm['AlarmName']}: {sorted(found - allowed(alarm))}"
        stated += len(found)
    assert stated >= 10


def test_a_description_with_another_number_is_found(dev: Templates) -> None:
    for alarm in dev.all("AWS::CloudWatch::Alarm"):
        assert not quantities("It took a day, or 77 %.") <= allowed(alarm)
    (stuck,) = (each for each in dev.all("AWS::CloudWatch::Alarm") if "-stuck-" in each["AlarmName"])
    assert not quantities("could not be found out in an hour") <= allowed(stuck)


def test_what_stages_say_of_the_service_is_what_it_does() -> None:
    assert minutes(STUCK_MINUTES) == _STUCK


def test_the_databases_alarm_names_the_capacity_that_it_has(each: Templates) -> None:
    (alarm,) = (found for found in each.all("AWS::CloudWatch::Alarm") if "-database-capacity-" in found["AlarmName"])
    most = each.one("AWS::RDS::DBCluster")["ServerlessV2ScalingConfiguration"]["MaxCapacity"]
    assert f"all of its {most} ACUs" in alarm["AlarmDescription"]


def test_what_a_graph_counts_in_a_minute_has_periods_of_a_minute(each: Templates) -> None:
    found = each.one("AWS::CloudWatch::Dashboard")
    widgets = json.loads(str(each.resolve(found.stack, found["DashboardBody"])))["widgets"]
    counted = [
        widget["properties"] for widget in widgets if widget["properties"]["yAxis"]["left"]["label"] == "a minute"
    ]
    assert len(counted) == 2
    for graph in counted:
        for metric in graph["metrics"]:
            assert metric[-1]["period"] == 60, f"{graph['title']}: {metric}"
