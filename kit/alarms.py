"""Alarms: each has a name, publishes to the environment's topic, and explains itself in one sentence.

The description ends with a link to the section of the runbook that says what to do.
"""

from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from kit.environment import TargetEnvironment

RUNBOOK = "docs/operations.md"


@dataclass(frozen=True, kw_only=True)
class AlarmSpec:
    """A metric and the condition under which it alarms."""

    #: Middle of the physical name, and anchor in the runbook: `error-rate` becomes `alarm-error-rate-dev`.
    name: str
    #: One sentence for whoever receives the alarm. `{minutes}` and `{threshold}` are filled in, so that the numbers in
    #: it cannot differ from the alarm's own.
    summary: str
    #: A metric with a period of one minute.
    metric: cloudwatch.IMetric
    #: The alarm goes off above this value, or below it with `below`.
    threshold: float
    #: Number of consecutive periods (minutes) that must breach.
    periods: int = 3
    #: Whether low values breach.
    below: bool = False
    #: Meaning of missing data; by default none, so that an idle environment stays quiet.
    missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING

    @property
    def description(self) -> str:
        """The summary with its numbers, and the link to the runbook."""
        summary = self.summary.format(minutes=self.periods, threshold=f"{self.threshold:g}")
        return f"{summary} Runbook: {RUNBOOK}#{self.name}"


def add_alarm(scope: Construct, spec: AlarmSpec, *, target: TargetEnvironment, topic: sns.ITopic) -> cloudwatch.Alarm:
    """Create an alarm that notifies `topic` when it goes off and when it recovers."""
    operator = cloudwatch.ComparisonOperator
    alarm = cloudwatch.Alarm(
        scope,
        "".join(part.title() for part in spec.name.split("-")),
        alarm_name=target.names.name(f"alarm-{spec.name}"),
        alarm_description=spec.description,
        metric=spec.metric,
        threshold=spec.threshold,
        comparison_operator=operator.LESS_THAN_THRESHOLD if spec.below else operator.GREATER_THAN_THRESHOLD,
        evaluation_periods=spec.periods,
        datapoints_to_alarm=spec.periods,
        treat_missing_data=spec.missing,
    )
    action = actions.SnsAction(topic)
    alarm.add_alarm_action(action)
    alarm.add_ok_action(action)
    return alarm
