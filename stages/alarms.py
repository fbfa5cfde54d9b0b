"""Alarms: each named, each publishing to the environment's topic, each saying in one sentence what it means.

The description ends with the section of the runbook that tells what to do.
"""

from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from stages.config import EnvironmentConfig

RUNBOOK = "docs/operations.md"


@dataclass(frozen=True, kw_only=True)
class AlarmSpec:
    """What is watched, and when it is too much."""

    name: str
    """Middle of the physical name and the runbook's anchor: `error-rate` becomes `alarm-error-rate-dev`."""
    sentence: str
    """What it means, in one sentence. `{minutes}` becomes `periods`, `{threshold}` the threshold: what is not written
    twice cannot differ."""
    metric: cloudwatch.IMetric
    """A metric with a period of a minute."""
    threshold: float
    """The value at which the alarm does not go off yet."""
    periods: int = 3
    """Consecutive periods that must breach."""
    below: bool = False
    """Whether low values breach."""
    missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING
    """What silence means; by default nothing, so that an idle environment stays quiet."""

    @property
    def description(self) -> str:
        """The sentence with its numbers, and where the runbook says what to do."""
        sentence = self.sentence.format(minutes=self.periods, threshold=f"{self.threshold:g}")
        return f"{sentence} Runbook: {RUNBOOK}#{self.name}"


def add_alarm(scope: Construct, spec: AlarmSpec, *, config: EnvironmentConfig, topic: sns.ITopic) -> cloudwatch.Alarm:
    """Create the alarm and let it tell the topic when it goes off and when it is over."""
    operator = cloudwatch.ComparisonOperator
    alarm = cloudwatch.Alarm(
        scope,
        "".join(part.title() for part in spec.name.split("-")),
        alarm_name=config.names.name(f"alarm-{spec.name}"),
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
