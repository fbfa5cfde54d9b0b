"""The findings of a soak about alarms, memory, logs and tasks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local.soak import findings, logs
from local.soak.alarms import deployed_alarms, evaluate
from local.soak.load import Responses
from local.soak.memory import Growth
from local.soak.options import Options
from rehearsal.ecs.containers import Health, HealthRecord
from rehearsal.ecs.services import ContainerStatus, ServiceStatus
from rehearsal.host.settings import SettingsError

METRIC = {
    "Namespace": "Payments",
    "MetricName": "WebhookBacklogAge",
    "Dimensions": [{"Name": "Environment", "Value": "dev"}],
}
ALARM: Mapping[str, Any] = {
    "AlarmName": "alarm-webhook-backlog-dev",
    "Metrics": [{"Id": "m1", "ReturnData": True, "MetricStat": {"Metric": METRIC, "Stat": "Maximum", "Period": 60}}],
    "Threshold": 900.0,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 3,
    "ComparisonOperator": "GreaterThanThreshold",
}


def backlog_ages(*ages: float, period: float = 60.0, environment: str = "dev") -> list[logs.Datum]:
    dimensions = frozenset({("Environment", environment)})
    return [
        logs.Datum(namespace="Payments", name="WebhookBacklogAge", dimensions=dimensions, at=number * period, value=age)
        for number, age in enumerate(ages)
    ]


@pytest.mark.parametrize(
    ("ages", "went_off"),
    [
        ((0, 0, 0, 0), False),
        ((0, 901, 901, 0), False),
        ((0, 901, 901, 901), True),
        ((901, 901, 901, 0), True),
        ((901, 901, 900, 901, 901), False),
    ],
)
def test_an_alarm_goes_off_after_consecutive_periods(ages: tuple[float, ...], went_off: bool) -> None:
    assert evaluate(ALARM, backlog_ages(*ages), time_scale=1).went_off is went_off


def test_a_period_shrinks_with_the_time_scale() -> None:
    data = backlog_ages(901, 901, 901, period=3.0)
    assert evaluate(ALARM, data, time_scale=1).went_off is False, "all in one minute"
    assert evaluate(ALARM, data, time_scale=20).went_off is True


def test_an_alarm_may_have_its_metric_inline() -> None:
    inline = {name: value for name, value in ALARM.items() if name != "Metrics"}
    inline |= {**METRIC, "Statistic": "Maximum", "Period": 60}
    assert evaluate(inline, backlog_ages(901, 901, 901), time_scale=1).went_off is True


def test_alarms_are_read_from_the_stacks_of_the_app() -> None:
    template = {
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": dict(ALARM)},
        }
    }
    templates: Mapping[str, Any] = {
        "CDKToolkit": "Resources:\n  Key: {}\n",
        "one": template,
        "two": json.dumps(template),
    }

    class CloudFormation:
        def describe_stacks(self) -> object:
            return {"Stacks": [{"StackName": name} for name in templates]}

        def get_template(self, *, StackName: str) -> object:  # noqa: N803 - the name in boto3
            return {"TemplateBody": templates[StackName]}

    cloudformation: Any = CloudFormation()
    assert deployed_alarms(cloudformation) == [ALARM, ALARM]


def test_an_alarm_whose_metric_is_never_written_counts_as_going_off() -> None:
    state = evaluate(ALARM, backlog_ages(0, 0, environment="prod"), time_scale=1)
    assert (state.went_off, state.detail) == (True, "Payments WebhookBacklogAge was never written")


def test_an_alarm_on_a_metric_of_aws_is_not_evaluated() -> None:
    metric = {**METRIC, "Namespace": "AWS/RDS"}
    alarm = {**ALARM, "Metrics": [{"MetricStat": {"Metric": metric, "Stat": "Maximum", "Period": 60}}]}
    state = evaluate(alarm, [], time_scale=1)
    assert (state.went_off, state.detail) == (None, "only AWS has metrics of AWS/RDS")


def test_metrics_are_read_from_the_log(tmp_path: Path) -> None:
    document = {
        "_aws": {
            "Timestamp": 60_000,
            "CloudWatchMetrics": [
                {"Namespace": "Payments", "Dimensions": [["Environment"]], "Metrics": [{"Name": "WebhookBacklogAge"}]}
            ],
        },
        "Environment": "dev",
        "WebhookBacklogAge": [0.0, 7.5],
    }
    log = tmp_path / "worker.log"
    log.write_text(json.dumps({"level": "INFO", "message": "worker started"}) + "\n" + json.dumps(document) + "\n")
    assert [(datum.at, datum.value) for datum in logs.metrics([log])] == [(60.0, 0.0), (60.0, 7.5)]
    assert logs.errors([log]) == []


@pytest.mark.parametrize("line", ['{"level": "ERROR", "message": "loop stuck"}', "Traceback (most recent call last):"])
def test_errors_are_log_records_and_tracebacks(tmp_path: Path, line: str) -> None:
    log = tmp_path / "worker.log"
    log.write_text('{"level": "WARNING", "message": "fine"}\n' + line + "\n")
    assert logs.errors([log]) == [f"worker.log: {line}"]
    assert findings.errors(logs.errors([log])).kept is False


def status(*, started: int = 2, running: int = 2, failures: tuple[str, ...] = (), **health: Any) -> ServiceStatus:
    record = HealthRecord(**{"health": Health.HEALTHY, **health})
    return ServiceStatus(
        cluster="c",
        name="api",
        task_definition="api:1",
        desired=2,
        running=running,
        pids=(1,),
        containers=(ContainerStatus(task="t", name="api", pid=1, log=Path("log"), health=record),),
        started=started,
        failures=failures,
    )


def test_a_service_kept_its_tasks() -> None:
    (finding,) = findings.tasks([status()])
    assert (finding.kept, finding.seen) == (True, "2 of 2 are running, 2 were started")


@pytest.mark.parametrize("changes", [{"started": 3}, {"running": 1}, {"failures": ("task t: x; end of y:\nz",)}])
def test_a_replaced_task_breaks_the_promise(changes: dict[str, Any]) -> None:
    (finding,) = findings.tasks([status(**changes)])
    assert finding.kept is False
    assert "end of" not in finding.seen


@pytest.mark.parametrize(
    ("health", "kept"), [(Health.HEALTHY, True), (Health.UNHEALTHY, False), (Health.UNKNOWN, False)]
)
def test_a_container_must_be_healthy(health: Health, kept: bool) -> None:
    (finding,) = findings.health([status(health=health)])
    assert finding.kept is kept


@pytest.mark.parametrize(
    ("early", "late", "flat"), [(60, 69.9, True), (60, 71, False), (200, 219, True), (200, 221, False)]
)
def test_memory_is_flat_within_the_tolerance(early: float, late: float, flat: bool) -> None:
    (finding,) = findings.memory([Growth(container="api t", early=early, late=late)])
    assert finding.kept is flat


def test_a_soak_without_measurements_keeps_no_promise() -> None:
    (finding,) = findings.memory([])
    assert finding.kept is False
    assert findings.responses(Responses()).kept is False


def test_a_failed_request_breaks_the_promise() -> None:
    finding = findings.responses(Responses(seconds=[0.1, 0.2], failed=["/v1/payments: 503"]))
    assert finding.kept is False
    assert "/v1/payments: 503" in finding.seen


def test_the_time_scale_shortens_a_soak(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Options.read().seconds == 900.0
    monkeypatch.setenv("MINUTES", "5")
    monkeypatch.setenv("TIME_SCALE", "20")
    assert Options.read().seconds == 15.0


@pytest.mark.parametrize(
    ("name", "value"), [("MINUTES", "0"), ("MINUTES", "long"), ("TIME_SCALE", "0.5"), ("MINUTES", "inf")]
)
def test_invalid_options_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}={value}: "):
        Options.read()
