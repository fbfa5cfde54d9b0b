"""Who hears what the pipeline does: an encrypted topic, and the two functions that write to it.

SNS can send CodePipeline's events itself, but as JSON: a function makes a message that a person can act on.
"""

import json
from collections.abc import Mapping, Sequence

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from pipeline.bootstrap.resources import bootstrap_role_arns
from pipeline.config import PipelineConfig
from pipeline.functions import PipelineFunction
from pipeline.storage import PipelineStorage

_PUBLISH_KEY_USE = ("kms:Decrypt", "kms:GenerateDataKey")


class PipelineNotifications(Construct):
    """Failed, succeeded, approval needed, drift found: each is one message to the topic.

    Attributes:
        topic: where the messages go.
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
        """`stacks`: names of the stacks of each environment, by its name in the configuration."""
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
        self._executions()
        self._drift(stacks)

    def _executions(self) -> None:
        config, name = self._config, self._config.names.name("pipeline")
        arn = f"arn:aws:codepipeline:{config.region}:{config.account}:{name}"
        notify = PipelineFunction(
            self,
            "Notify",
            config=config,
            storage=self._storage,
            kind="notify",
            description="Tells people what became of an execution of the pipeline",
            environment={"PIPELINE": name, "TOPIC": self.topic.topic_arn},
            statements=[
                iam.PolicyStatement(
                    sid="ReadExecutions",
                    actions=["codepipeline:GetPipelineExecution", "codepipeline:ListActionExecutions"],
                    resources=[arn],
                ),
                *self._publish(),
            ],
            timeout=Duration.minutes(1),
        )
        self._rule(
            "pipeline-state",
            "An execution has failed or succeeded; cancelled and superseded ones are neither",
            notify,
            pattern=events.EventPattern(
                source=["aws.codepipeline"],
                detail_type=["CodePipeline Pipeline Execution State Change"],
                detail={"pipeline": [name], "state": ["FAILED", "SUCCEEDED"]},
            ),
        )
        self._rule(
            "pipeline-approval",
            "An approval waits for a person",
            notify,
            pattern=events.EventPattern(
                source=["aws.codepipeline"],
                detail_type=["CodePipeline Action Execution State Change"],
                detail={"pipeline": [name], "state": ["STARTED"], "type": {"category": ["Approval"]}},
            ),
        )

    def _drift(self, stacks: Mapping[str, Sequence[str]]) -> None:
        config = self._config
        places = {
            stage.name: (
                bootstrap_role_arns("lookup", [(stage.environment.account, stage.environment.region)])[0],
                stage.environment.region,
            )
            for stage in config.stages
        }
        drift = PipelineFunction(
            self,
            "Drift",
            config=config,
            storage=self._storage,
            kind="drift",
            description="Tells people when an environment is no longer what its templates say",
            environment={
                "NAME": config.names.name("pipeline"),
                "TOPIC": self.topic.topic_arn,
                "STACKS": json.dumps(
                    [
                        {"role": role, "region": region, "stacks": list(stacks[name])}
                        for name, (role, region) in places.items()
                    ]
                ),
            },
            statements=[
                iam.PolicyStatement(
                    sid="LookAtEnvironments",
                    actions=["sts:AssumeRole"],
                    resources=sorted({role for role, _ in places.values()}),
                ),
                *self._publish(),
            ],
            timeout=Duration.minutes(15),
        )
        self._rule(
            "drift",
            "Looks for drift every day",
            drift,
            schedule=events.Schedule.cron(hour="5", minute="17"),
        )

    def _rule(
        self,
        name: str,
        description: str,
        target: PipelineFunction,
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

    def _publish(self) -> list[iam.PolicyStatement]:
        return [
            iam.PolicyStatement(sid="Publish", actions=["sns:Publish"], resources=[self.topic.topic_arn]),
            iam.PolicyStatement(sid="UseKey", actions=list(_PUBLISH_KEY_USE), resources=[self._storage.key.key_arn]),
        ]
