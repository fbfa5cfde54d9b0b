"""What a soak says of alarms, memory, logs and tasks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local.soak import findings, logs
from local.soak.alarms import deployed_alarms, judge
from local.soak.load import Answers
from local.soak.memory import Growth
from local.soak.options import OptionError, Options
from rehearsal.ecs.containers import Health, HealthRecord
from rehearsal.ecs.services import ContainerStatus, ServiceStatus

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


def written(*ages: float, every: float = 60.0, environment: str = "dev") -> list[logs.Datum]:
    dimensions = frozenset({("Environment", environment)})
    return [
        logs.Datum(namespace="Payments", name="WebhookBacklogAge", dimensions=dimensions, at=number * every, value=age)
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
def test_an_alarm_goes_off_after_so_many_periods_in_a_row(ages: tuple[float, ...], went_off: bool) -> None:
    assert judge(ALARM, written(*ages), time_scale=1).went_off is went_off


def test_a_period_shrinks_with_the_time_scale() -> None:
    data = written(901, 901, 901, every=3.0)
    assert judge(ALARM, data, time_scale=1).went_off is False, "all in one minute"
    assert judge(ALARM, data, time_scale=20).went_off is True


def test_an_alarm_of_one_metric_is_told_either_way() -> None:
    plain = {name: value for name, value in ALARM.items() if name != "Metrics"}
    plain |= {**METRIC, "Statistic": "Maximum", "Period": 60}
    assert judge(plain, written(901, 901, 901), time_scale=1).went_off is True


def test_alarms_are_those_of_the_apps_stacks() -> None:
    template = {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": dict(ALARM)},
        }
    }
    templates: Mapping[str, Any] = {
        "CDKToolkit": "Resources:\n  Key: {}\n",
        "one": template,
        "two": json.dumps(template),
    }

    class CloudFormation:
        def describe_stacks(self) -> Any:
            return {"Stacks": [{"StackName": name} for name in templates]}

        def get_template(self, **asked: str) -> Any:
            return {"TemplateBody": templates[asked["StackName"]]}

    assert deployed_alarms(CloudFormation()) == [ALARM, ALARM]


def test_an_alarm_whose_metric_nobody_writes_is_broken() -> None:
    judgement = judge(ALARM, written(0, 0, environment="prod"), time_scale=1)
    assert (judgement.went_off, judgement.detail) == (True, "nobody wrote Payments WebhookBacklogAge")


def test_what_only_aws_has_is_not_judged() -> None:
    metric = {**METRIC, "Namespace": "AWS/RDS"}
    alarm = {**ALARM, "Metrics": [{"MetricStat": {"Metric": metric, "Stat": "Maximum", "Period": 60}}]}
    judgement = judge(alarm, [], time_scale=1)
    assert (judgement.went_off, judgement.detail) == (None, "only AWS has metrics of AWS/RDS")


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


@pytest.mark.parametrize("line", ['{"level": "ERROR", "message": "loops hang"}', "Traceback (most recent call last):"])
def test_an_error_is_one_whether_logged_or_not(tmp_path: Path, line: str) -> None:
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


def test_a_service_whose_tasks_all_lasted_is_as_it_should_be() -> None:
    (finding,) = findings.tasks([status()])
    assert (finding.kept, finding.seen) == (True, "2 of 2 run, 2 were started")


@pytest.mark.parametrize("changes", [{"started": 3}, {"running": 1}, {"failures": ("task t: x; the end of y:\nz",)}])
def test_a_task_that_was_replaced_is_told(changes: dict[str, Any]) -> None:
    (finding,) = findings.tasks([status(**changes)])
    assert finding.kept is False
    assert "the end of" not in finding.seen


@pytest.mark.parametrize(
    ("health", "kept"), [(Health.HEALTHY, True), (Health.UNHEALTHY, False), (Health.UNKNOWN, False)]
)
def test_a_container_must_have_been_found_healthy(health: Health, kept: bool) -> None:
    (finding,) = findings.health([status(health=health)])
    assert finding.kept is kept


@pytest.mark.parametrize(
    ("early", "late", "flat"), [(60, 69.9, True), (60, 71, False), (200, 219, True), (200, 221, False)]
)
def test_memory_is_flat_within_the_tolerance(early: float, late: float, flat: bool) -> None:
    (finding,) = findings.memory([Growth(container="api t", early=early, late=late)])
    assert finding.kept is flat


def test_a_soak_that_measured_nothing_has_shown_nothing() -> None:
    (finding,) = findings.memory([])
    assert finding.kept is False
    assert findings.answers(Answers()).kept is False


def test_a_request_that_fails_is_told() -> None:
    finding = findings.answers(Answers(seconds=[0.1, 0.2], failed=["/v1/payments: 503"]))
    assert finding.kept is False
    assert "/v1/payments: 503" in finding.seen


def test_a_soak_takes_its_minutes_less_the_time_scale() -> None:
    options = Options.read({"MINUTES": "5", "TIME_SCALE": "20"})
    assert options.seconds == 15.0
    assert Options.read({}).seconds == 900.0


@pytest.mark.parametrize(
    "variables", [{"MINUTES": "0"}, {"MINUTES": "long"}, {"TIME_SCALE": "0.5"}, {"MINUTES": "inf"}]
)
def test_a_soak_of_no_length_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=r"must be a number from"):
        Options.read(variables)
