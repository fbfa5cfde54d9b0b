"""Evaluation of alarms as CloudWatch does it, from the metrics in the logs of the containers."""

import json
import math
import operator
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.soak.logs import Datum

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Maximum": max,
    "Minimum": min,
    "Sum": math.fsum,
    "Average": lambda values: math.fsum(values) / len(values),
    "SampleCount": len,
}
#: The bootstrap stack, whose template is YAML.
_BOOTSTRAP = "CDKToolkit"
#: Prefixes of namespaces without local metrics.
_OF_AWS = ("AWS/", "ECS/")
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True, kw_only=True)
class AlarmState:
    """The state of an alarm over a soak; `went_off` is None when only AWS has the metric."""

    alarm: str
    went_off: bool | None
    detail: str


@dataclass(frozen=True, kw_only=True)
class _Metric:
    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    statistic: str
    period: float


def deployed_alarms(cloudformation: "CloudFormationClient") -> list[Mapping[str, Any]]:
    """Return the properties of every alarm in the stacks; the emulator's CloudWatch does not return expressions."""
    found = []
    for stack in cloudformation.describe_stacks()["Stacks"]:
        if stack["StackName"] == _BOOTSTRAP:
            continue
        template: Any = cloudformation.get_template(StackName=stack["StackName"])["TemplateBody"]
        parsed = json.loads(template) if isinstance(template, str) else template
        resources = parsed.get("Resources", {}).values()
        found += [each["Properties"] for each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]
    return found


def evaluate(alarm: Mapping[str, Any], data: Sequence[Datum], *, time_scale: float) -> AlarmState:
    """Evaluate an alarm over a whole soak.

    An alarm on a metric of the application that was never written counts as one that went off: it could not go off.

    Args:
        alarm: The CloudFormation properties of the alarm.
        data: The values of all metrics.
        time_scale: How many times shorter the period is.

    """
    name, metrics = str(alarm["AlarmName"]), _metrics(alarm)
    foreign = sorted({metric.namespace for metric in metrics if metric.namespace.startswith(_OF_AWS)})
    if foreign:
        return AlarmState(alarm=name, went_off=None, detail=f"only AWS has metrics of {', '.join(foreign)}")
    if len(metrics) != 1:
        return AlarmState(alarm=name, went_off=True, detail="expressions over application metrics are not supported")
    (metric,) = metrics
    wanted = (metric.namespace, metric.name, metric.dimensions)
    found = [datum for datum in data if (datum.namespace, datum.name, datum.dimensions) == wanted]
    if not found:
        return AlarmState(alarm=name, went_off=True, detail=f"{metric.namespace} {metric.name} was never written")
    values = _by_period(found, metric.period / time_scale, _STATISTICS[metric.statistic])
    compare = _COMPARISONS[alarm["ComparisonOperator"]]
    breaching = {period for period, value in values.items() if compare(value, float(alarm["Threshold"]))}
    worst = max(values.values()) if compare is operator.gt else min(values.values())
    return AlarmState(
        alarm=name,
        went_off=_goes_off(breaching, alarm),
        detail=f"{len(values)} periods, worst {worst:g}, threshold {float(alarm['Threshold']):g}",
    )


def _metrics(alarm: Mapping[str, Any]) -> list[_Metric]:
    """Return the metric of an alarm, or those of its expression."""
    if alarm.get("MetricName"):
        return [_metric(alarm, alarm["Statistic"], alarm["Period"])]
    statistics = [entry["MetricStat"] for entry in alarm["Metrics"] if entry.get("MetricStat")]
    return [_metric(each["Metric"], each["Stat"], each["Period"]) for each in statistics]


def _metric(entry: Mapping[str, Any], statistic: str, period: float) -> _Metric:
    return _Metric(
        namespace=str(entry["Namespace"]),
        name=str(entry["MetricName"]),
        dimensions=frozenset((each["Name"], str(each["Value"])) for each in entry.get("Dimensions") or []),
        statistic=statistic,
        period=float(period),
    )


def _by_period(data: Sequence[Datum], period: float, statistic: Callable[[Sequence[float]], float]) -> dict[int, float]:
    values: dict[int, list[float]] = defaultdict(list)
    for datum in data:
        values[math.floor(datum.at / period)].append(datum.value)
    return {number: statistic(found) for number, found in values.items()}


def _goes_off(breaching: set[int], alarm: Mapping[str, Any]) -> bool:
    """Return whether enough periods of any window breach; one without a value does not (`notBreaching`)."""
    window = int(alarm["EvaluationPeriods"])
    enough = int(alarm.get("DatapointsToAlarm") or window)
    return any(len(breaching & set(range(first, first + window))) >= enough for first in breaching)
