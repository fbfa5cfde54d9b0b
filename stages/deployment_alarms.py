"""The two alarms that also roll a deployment back. In the service stack, because they must exist before the service."""

from collections.abc import Mapping

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_sns as sns
from constructs import Construct

from stages.alarms import AlarmSpec, add_alarm
from stages.config import EnvironmentConfig
from stages.metrics import MINUTE, ServiceMetrics

#: Percent of failed requests, and seconds at the 99th percentile, that alarm and roll back a deployment.
MAX_ERROR_RATE, MAX_P99_SECONDS = 5, 3
NAMES = ("error-rate", "p99-latency")


def add_deployment_alarms(
    scope: Construct,
    *,
    metrics: ServiceMetrics,
    target_groups: Mapping[str, elbv2.IApplicationTargetGroup],
    config: EnvironmentConfig,
    topic: sns.ITopic,
) -> list[cloudwatch.Alarm]:
    """The alarms `NAMES`. Of several target groups (by a name for each), the one that fails most is watched."""
    error_rate, p99_latency = NAMES
    specs = (
        AlarmSpec(
            name=error_rate,
            sentence="More than {threshold} % of requests failed with a 5xx for {minutes} minutes.",
            metric=_highest_error_rate(metrics, target_groups) if len(target_groups) > 1 else metrics.error_rate(),
            threshold=MAX_ERROR_RATE,
        ),
        AlarmSpec(
            name=p99_latency,
            sentence="One request in a hundred took longer than {threshold} seconds for {minutes} minutes.",
            metric=metrics.latency("p99"),
            threshold=MAX_P99_SECONDS,
            periods=5,
        ),
    )
    return [add_alarm(scope, spec, config=config, topic=topic) for spec in specs]


def _highest_error_rate(
    metrics: ServiceMetrics, target_groups: Mapping[str, elbv2.IApplicationTargetGroup]
) -> cloudwatch.MathExpression:
    """A canary's failures would drown in the requests of the release that it is tried beside."""
    rates: dict[str, cloudwatch.IMetric] = {"whole": metrics.error_rate()}
    rates |= {name: _error_rate_of(name, group) for name, group in target_groups.items()}
    return cloudwatch.MathExpression(
        expression=f"MAX([{', '.join(rates)}])", using_metrics=rates, label="highest error rate (%)", period=MINUTE
    )


def _error_rate_of(name: str, group: elbv2.IApplicationTargetGroup) -> cloudwatch.MathExpression:
    """5xx answers of one target group's tasks, in per cent of its requests."""
    errors, requests = f"{name}_errors", f"{name}_requests"
    return cloudwatch.MathExpression(
        expression=f"FILL(100 * {errors} / {requests}, 0)",
        using_metrics={
            errors: group.metrics.http_code_target(
                elbv2.HttpCodeTarget.TARGET_5XX_COUNT, period=MINUTE, statistic="Sum"
            ),
            requests: group.metrics.request_count(period=MINUTE, statistic="Sum"),
        },
        label=name,
        period=MINUTE,
    )
