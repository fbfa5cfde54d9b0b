"""Notifications: an encrypted topic, and the two functions that publish to it.

SNS could send CodePipeline's events itself, but as JSON: a function turns them into messages that people can act on.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from kit.functions import FunctionFindings, InlineFunction
from kit.policies import allow
from pipeline.bootstrap.arns import bootstrap_role_arns
from pipeline.config import PipelineConfig
from pipeline.storage import PipelineStorage

HANDLERS = Path(__file__).parent / "handlers"
#: Purposes of the functions, which name the functions and their log groups.
NOTIFY, DRIFT = FUNCTIONS = ("pipeline-notify", "pipeline-drift")
_CALLER = "Called a few times a day by EventBridge, which retries for a day; "
_FINDINGS = FunctionFindings(
    concurrency=_CALLER + "it cannot take capacity from other functions.",
    dead_letter_queue=_CALLER + "what it reports is visible in the console as well.",
    vpc=_CALLER + "it calls AWS endpoints only, and the pipeline has no VPC.",
)


class PipelineNotifications(Construct):
    """One message to the topic for each failure, success, pending approval, and drift.

    Attributes:
        topic: The SNS topic.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: PipelineConfig,
        storage: PipelineStorage,
        stacks: Mapping[str, Sequence[str]],
    ) -> None:
        """Create the topic, the functions and their rules.

        Args:
            scope: Parent construct.
            construct_id: Id in `scope`.
            config: Configuration of the installation.
            storage: Its key encrypts the topic and the functions' logs and variables.
            stacks: Environment to the names of its stacks.
        """
        super().__init__(scope, construct_id)
        self._config = config
        self._storage = storage
        self.topic = sns.Topic(
            self,
            "Topic",
            topic_name=config.names.name("pipeline-topic"),
            display_name=f"Delivery pipeline {config.names.suffix}",
            master_key=storage.key,
            enforce_ssl=True,
        )
        if config.alarm_email is not None:
            self.topic.add_subscription(subscriptions.EmailSubscription(config.alarm_email))
        self._notify_about_executions()
        self._detect_drift(stacks)

    def _notify_about_executions(self) -> None:
        config, name = self._config, self._config.names.name("pipeline")
        arn = f"arn:aws:codepipeline:{config.region}:{config.account}:{name}"
        notify = self._function(
            "Notify",
            purpose=NOTIFY,
            description="Notifies people of pipeline executions and pending approvals",
            environment={"PIPELINE": name, "TOPIC": self.topic.topic_arn},
            statements=[
                allow(
                    "ReadExecutions", ["codepipeline:GetPipelineExecution", "codepipeline:ListActionExecutions"], [arn]
                )
            ],
            timeout=Duration.minutes(1),
        )
        self._rule(
            "pipeline-state",
            "An execution failed or succeeded; stopped and superseded ones did neither",
            notify,
            pattern=events.EventPattern(
                source=["aws.codepipeline"],
                detail_type=["CodePipeline Pipeline Execution State Change"],
                detail={"pipeline": [name], "state": ["FAILED", "SUCCEEDED"]},
            ),
        )
        self._rule(
            "pipeline-approval",
            "An approval is pending",
            notify,
            pattern=events.EventPattern(
                source=["aws.codepipeline"],
                detail_type=["CodePipeline Action Execution State Change"],
                detail={"pipeline": [name], "state": ["STARTED"], "type": {"category": ["Approval"]}},
            ),
        )

    def _detect_drift(self, stacks: Mapping[str, Sequence[str]]) -> None:
        config = self._config
        lookup_roles = {
            stage.name: bootstrap_role_arns("lookup", [(stage.environment.account, stage.environment.region)])[0]
            for stage in config.stages
        }
        drift = self._function(
            "Drift",
            purpose=DRIFT,
            description="Notifies people when an environment has drifted from its templates",
            environment={
                "NAME": config.names.name("pipeline"),
                "TOPIC": self.topic.topic_arn,
                "STACKS": json.dumps(
                    [
                        {
                            "role": lookup_roles[stage.name],
                            "region": stage.environment.region,
                            "stacks": list(stacks[stage.name]),
                        }
                        for stage in config.stages
                    ]
                ),
            },
            statements=[
                allow("LookAtEnvironments", ["sts:AssumeRole"], sorted(set(lookup_roles.values()))),
            ],
            timeout=Duration.minutes(15),
        )
        self._rule(
            "drift",
            "Detects drift every day",
            drift,
            schedule=events.Schedule.cron(hour="5", minute="17"),
        )

    def _rule(
        self,
        name: str,
        description: str,
        target: InlineFunction,
        *,
        pattern: events.EventPattern | None = None,
        schedule: events.Schedule | None = None,
    ) -> None:
        events.Rule(
            self,
            f"Rule{name}",
            rule_name=self._config.names.name(f"rule-{name}"),
            description=description,
            event_pattern=pattern,
            schedule=schedule,
            targets=[targets.LambdaFunction(target.function)],
        )

    def _function(
        self,
        construct_id: str,
        *,
        purpose: str,
        description: str,
        environment: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement],
        timeout: Duration,
    ) -> InlineFunction:
        """Create a function that may publish to the topic besides `statements`."""
        return InlineFunction(
            self,
            construct_id,
            target=self._config,
            key=self._storage.key,
            purpose=purpose,
            description=description,
            source=HANDLERS / f"{purpose.removeprefix('pipeline-')}.py",
            statements=[
                *statements,
                allow("Publish", ["sns:Publish"], [self.topic.topic_arn]),
                allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], [self._storage.key.key_arn]),
            ],
            timeout=timeout,
            findings=_FINDINGS,
            environment=environment,
        )
