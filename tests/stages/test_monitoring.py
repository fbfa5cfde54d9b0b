"""Monitoring alerts people to trouble, explains what it means, and stays quiet otherwise."""

import json
import re
from typing import Any

import pytest

from stages.monitoring.log_queries import QUERIES
from tests.stages.model import PROJECT, Resource, Templates

ALARMS = {
    "error-rate",
    "p99-latency",
    "unhealthy-targets",
    "api-tasks",
    "worker-tasks",
    "database-cpu",
    "database-capacity",
    "database-connections",
    "recovery-backlog",
    "stuck-payments",
    "unmapped-events",
    "processor-configuration",
    "webhook-backlog",
    "readers-held-back",
}


def alarms(templates: Templates) -> dict[str, Resource]:
    suffix = templates.one("AWS::CloudWatch::Dashboard")["DashboardName"].removeprefix("dashboard-")
    return {
        str(alarm["AlarmName"]).removeprefix("alarm-").removesuffix(f"-{suffix}"): alarm
        for alarm in templates.all("AWS::CloudWatch::Alarm")
    }


def dashboard(templates: Templates) -> list[dict[str, Any]]:
    found = templates.one("AWS::CloudWatch::Dashboard")
    widgets = json.loads(str(templates.resolve(found.stack, found["DashboardBody"])))["widgets"]
    return [widget["properties"] for widget in widgets]


def watched(alarm: Resource) -> tuple[str, list[dict[str, str]]]:
    """Name and dimensions of the metric of an alarm without an expression."""
    (item,) = alarm["Metrics"]
    metric = item["MetricStat"]["Metric"]
    return metric["MetricName"], metric["Dimensions"]


def test_these_are_the_alarms(environments: dict[str, Templates]) -> None:
    for name, templates in environments.items():
        assert set(alarms(templates)) == (ALARMS | {"unhealthy-alternate"} if name == "Canary" else ALARMS)


def test_alarms_notify_the_topic_when_raised_and_resolved(each: Templates) -> None:
    topic = each.one("AWS::SNS::Topic")
    for alarm in alarms(each).values():
        for action in ("AlarmActions", "OKActions"):
            assert each.resolve(alarm.stack, alarm[action]) == [f"{topic.stack}/{topic.logical_id}"]
        assert alarm.properties.get("ActionsEnabled", True) is True


def test_alarms_are_one_sentence_with_a_runbook_link(each: Templates) -> None:
    runbook = (PROJECT / "docs" / "operations.md").read_text()
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", runbook, re.M)
    }
    for name, alarm in alarms(each).items():
        sentence, _, runbook_link = alarm["AlarmDescription"].partition(" Runbook: ")
        assert sentence.endswith(".")
        assert sentence.count(". ") == 0
        assert runbook_link == f"docs/operations.md#{name}"
        assert name in anchors, f"docs/operations.md has no section {name}"


def test_missing_data_is_not_an_alarm(each: Templates) -> None:
    assert {alarm["TreatMissingData"] for alarm in alarms(each).values()} == {"notBreaching"}


ERROR_RATE = "FILL(100 * SUM([target, balancer]) / SUM([requests, balancer]), 0)"


def parts(alarm: Resource) -> tuple[dict[str, str], dict[str, str], str]:
    """Metrics and expressions of an alarm by id, and the id of the one that it evaluates."""
    items = {item["Id"]: item for item in alarm["Metrics"]}
    metrics = {name: item["MetricStat"]["Metric"]["MetricName"] for name, item in items.items() if "MetricStat" in item}
    expressions = {name: item["Expression"] for name, item in items.items() if "Expression" in item}
    (watched_id,) = (name for name, item in items.items() if item.get("ReturnData", True))
    return metrics, expressions, watched_id


def test_the_error_rate_alarm_ignores_missing_traffic(dev: Templates) -> None:
    """The load balancer's own errors are added to the requests: without a task it counts the error only."""
    alarm = alarms(dev)["error-rate"]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (5, "GreaterThanThreshold")
    metrics, expressions, watched_id = parts(alarm)
    assert expressions[watched_id] == ERROR_RATE
    assert metrics == {
        "requests": "RequestCount",
        "target": "HTTPCode_Target_5XX_Count",
        "balancer": "HTTPCode_ELB_5XX_Count",
    }


def test_a_failing_canary_is_not_diluted(canary: Templates) -> None:
    metrics, expressions, watched_id = parts(alarms(canary)["error-rate"])
    assert expressions.pop(watched_id) == "MAX([whole, primary, alternate])"
    assert expressions == {
        "whole": ERROR_RATE,
        "primary": "FILL(100 * primary_errors / primary_requests, 0)",
        "alternate": "FILL(100 * alternate_errors / alternate_requests, 0)",
    }
    assert metrics["alternate_errors"] == "HTTPCode_Target_5XX_Count"
    assert metrics["alternate_requests"] == "RequestCount"
    assert len(metrics) <= 10, "all that CloudWatch takes in an alarm"
    groups = {
        str(canary.resolve("payment-service-canary-alice", dimension["Value"]))
        for item in alarms(canary)["error-rate"]["Metrics"]
        for dimension in item.get("MetricStat", {}).get("Metric", {}).get("Dimensions", [])
        if dimension["Name"] == "TargetGroup"
    }
    assert len(groups) == 2


def test_unhealthy_tasks_of_both_releases_alarm(canary: Templates) -> None:
    groups = set()
    for name in ("unhealthy-targets", "unhealthy-alternate"):
        metric, dimensions = watched(alarms(canary)[name])
        assert (metric, alarms(canary)[name]["Threshold"]) == ("UnHealthyHostCount", 0)
        (group,) = (item["Value"] for item in dimensions if item["Name"] == "TargetGroup")
        groups.add(str(canary.resolve(alarms(canary)[name].stack, group)))
    assert len(groups) == 2


def test_the_dashboard_searches_all_target_groups(each: Templates) -> None:
    (graph,) = (widget for widget in dashboard(each) if widget["title"] == "Targets")
    balancer = each.one("AWS::ElasticLoadBalancingV2::LoadBalancer")
    own = f"{balancer.stack}/{balancer.logical_id}.LoadBalancerFullName"
    for (search,), state in zip(graph["metrics"], ("Healthy", "UnHealthy"), strict=True):
        assert search["expression"].startswith("SEARCH('{AWS/ApplicationELB,LoadBalancer,TargetGroup} ")
        assert f'MetricName="{state}HostCount" LoadBalancer="{own}"' in search["expression"]


@pytest.mark.parametrize(
    ("name", "metric", "threshold"),
    [
        ("database-cpu", "CPUUtilization", 80),
        ("database-capacity", "ACUUtilization", 99),
        ("database-connections", "DatabaseConnections", 658),
        ("unhealthy-targets", "UnHealthyHostCount", 0),
        ("p99-latency", "TargetResponseTime", 3),
        ("stuck-payments", "StuckAttempts", 0),
        ("unmapped-events", "UnmappedProcessorEvents", 0),
        ("processor-configuration", "MisconfiguredAttempts", 0),
        ("recovery-backlog", "RecoveryBacklogAge", 600),
        ("webhook-backlog", "WebhookBacklogAge", 900),
        ("readers-held-back", "OldestUnreadAge", 300),
    ],
    ids=lambda value: value if isinstance(value, str) and "-" in value else "",
)
def test_thresholds_follow_the_design(dev: Templates, name: str, metric: str, threshold: float) -> None:
    alarm = alarms(dev)[name]
    assert (watched(alarm)[0], alarm["Threshold"]) == (metric, threshold)
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"


@pytest.mark.parametrize("service", ["api", "worker"])
def test_missing_tasks_are_desired_minus_running(dev: Templates, service: str) -> None:
    metrics = {metric["Id"]: metric for metric in alarms(dev)[f"{service}-tasks"]["Metrics"]}
    (expression,) = (metric["Expression"] for metric in metrics.values() if "Expression" in metric)
    assert expression == "desired - running"
    for name, wanted in (("desired", "DesiredTaskCount"), ("running", "RunningTaskCount")):
        metric = metrics[name]["MetricStat"]["Metric"]
        assert (metric["Namespace"], metric["MetricName"]) == ("ECS/ContainerInsights", wanted)
        assert {"Name": "ServiceName", "Value": f"ecs-service-{service}-dev"} in metric["Dimensions"]


def test_monitored_services_exist(each: Templates) -> None:
    services = {service["ServiceName"] for service in each.all("AWS::ECS::Service")}
    found = {
        dimension["Value"]
        for alarm in alarms(each).values()
        for metric in alarm.properties.get("Metrics", [])
        for dimension in metric.get("MetricStat", {}).get("Metric", {}).get("Dimensions", [])
        if dimension["Name"] == "ServiceName"
    }
    assert found == services


def test_the_configured_address_is_subscribed(dev: Templates, prod: Templates) -> None:
    assert not dev.all("AWS::SNS::Subscription")
    subscription = prod.one("AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "alarms@payments.example")


def test_the_dashboard_has_the_designed_graphs(dev: Templates) -> None:
    text = json.dumps(dashboard(dev))
    titles = [widget["title"] for widget in dashboard(dev)]
    assert titles == [
        "Latency",
        "Error rate",
        "Requests",
        "Tasks",
        "Task CPU",
        "Targets",
        "Database connections",
        "Database CPU",
        "Database capacity",
        "Payments by outcome",
        "Processor latency",
        "Backlogs",
        "Needs a person",
    ]
    for metric in ("p50", "p90", "p99", "RequestCount", "DatabaseConnections", "ServerlessDatabaseCapacity"):
        assert f'"{metric}"' in text


def test_saved_queries_cover_the_logs_of_both_services(each: Templates) -> None:
    queries = each.all("AWS::Logs::QueryDefinition")
    groups = {group["LogGroupName"] for group in each.all("AWS::Logs::LogGroup")}
    for name in QUERIES:
        assert [query["Name"].startswith(f"query-{name}-") for query in queries].count(True) == 1
    for query in queries:
        assert set(query["LogGroupNames"]) <= groups
        assert len(query["LogGroupNames"]) == 2
