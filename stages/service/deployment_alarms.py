"""The two alarms that also roll a deployment back. In the service stack, because they must exist before the service."""

from collections.abc import Mapping

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_sns as sns
from constructs import Construct

from kit.alarms import AlarmSpec, add_alarm
from stages.config.environment import EnvironmentConfig
from stages.service.metrics import MINUTE, ServiceMetrics

#: Percentage of failed requests above which a deployment is rolled back.
MAX_ERROR_RATE = 5
#: Seconds at the 99th percentile above which a deployment is rolled back.
MAX_P99_SECONDS = 3
DEPLOYMENT_ALARMS = ("error-rate", "p99-latency")


def add_deployment_alarms(
    scope: Construct,
    *,
    metrics: ServiceMetrics,
    target_groups: Mapping[str, elbv2.IApplicationTargetGroup],
    config: EnvironmentConfig,
    topic: sns.ITopic,
) -> list[cloudwatch.Alarm]:
    """Create the alarms `DEPLOYMENT_ALARMS`. Of several named target groups, the highest error rate counts."""
    error_rate, p99_latency = DEPLOYMENT_ALARMS
    specs = (
        AlarmSpec(
            name=error_rate,
            summary="More than {threshold} % of requests have failed with a 5xx status for {minutes} minutes.",
            metric=_highest_error_rate(metrics, target_groups) if len(target_groups) > 1 else metrics.error_rate(),
            threshold=MAX_ERROR_RATE,
        ),
        AlarmSpec(
            name=p99_latency,
            summary="The p99 latency has been above {threshold} seconds for {minutes} minutes.",
            metric=metrics.latency("p99"),
            threshold=MAX_P99_SECONDS,
            periods=5,
        ),
    )
    return [add_alarm(scope, spec, target=config, topic=topic) for spec in specs]


def _highest_error_rate(
    metrics: ServiceMetrics, target_groups: Mapping[str, elbv2.IApplicationTargetGroup]
) -> cloudwatch.MathExpression:
    """Return the highest rate of all groups: a canary's failures would be diluted by the old release's requests."""
    rates: dict[str, cloudwatch.IMetric] = {"whole": metrics.error_rate()}
    rates |= {name: _error_rate_of(name, group) for name, group in target_groups.items()}
    return cloudwatch.MathExpression(
        expression=f"MAX([{', '.join(rates)}])", using_metrics=rates, label="highest error rate (%)", period=MINUTE
    )


def _error_rate_of(name: str, group: elbv2.IApplicationTargetGroup) -> cloudwatch.MathExpression:
    """Return the percentage of one target group's requests to which its tasks responded with a 5xx status."""
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
