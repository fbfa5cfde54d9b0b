"""What the pipeline stores: artifacts and logs, under a key of its own. All of it is deleted with the stack."""

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from kit.buckets import PrivateBucket
from kit.custom_resources import AutoDeleteObjects
from kit.encryption import USE, administration, encrypt_log_groups, key_statement, rotating_key
from kit.environment import TargetEnvironment
from kit.log_groups import EncryptedLogGroup

#: Artifacts are needed only while their execution can still be retried or rolled back to.
ARTIFACT_DAYS = 30


class PipelineStorage(Construct):
    """Key, artifact bucket and log group of the pipeline.

    Attributes:
        key: Encrypts everything that the pipeline stores.
        bucket: Artifacts.
        log_group: Output of all builds.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, target: TargetEnvironment, function_logs: Sequence[str]
    ) -> None:
        super().__init__(scope, construct_id)
        build_logs = target.names.name("pipeline-builds")
        self.key = create_key(
            self,
            target,
            log_groups=[build_logs, *function_logs],
            alias=target.names.name("alias/pipeline-key"),
        )
        self.bucket = create_artifact_bucket(self, target, key=self.key)
        self.log_group: logs.LogGroup = EncryptedLogGroup(
            self, "BuildLogs", name=build_logs, target=target, key=self.key
        )


def create_key(scope: Construct, target: TargetEnvironment, *, log_groups: Sequence[str], alias: str | None) -> kms.Key:
    """Create a rotating key that the account administers and that IAM policies of the account may allow to use."""
    account = iam.AccountPrincipal(target.account)
    return rotating_key(
        scope,
        alias=alias,
        description=f"Artifacts, build logs and notifications of the pipeline {target.names.suffix}",
        statements=[
            administration(target),
            # Roles of this account state the same in their own policies; deploy roles of others are added by name.
            key_statement("UseByPolicy", account, USE),
            # Lambda creates a grant for the role of each function whose environment it encrypts, as its caller.
            key_statement(
                "GrantsForFunctions",
                account,
                ["kms:CreateGrant"],
                {"StringEquals": {"kms:ViaService": f"lambda.{target.region}.amazonaws.com"}},
            ),
            encrypt_log_groups(target, log_groups, USE),
        ],
    )


def create_artifact_bucket(scope: Construct, target: TargetEnvironment, *, key: kms.IKey) -> PrivateBucket:
    """Create a bucket for artifacts, emptied when its stack is deleted."""
    bucket = PrivateBucket(
        scope,
        "Artifacts",
        name=target.names.globally_unique("pipeline-artifacts"),
        key=key,
        expiration_days=ARTIFACT_DAYS,
        logging_reason="Only the pipeline's own roles can read or write here, and CloudTrail names them; a log of each "
        "build's transfers would be larger than the artifacts.",
        replication_reason="Running the pipeline recreates artifacts from the commit; nothing is lost with them.",
    )
    AutoDeleteObjects(scope, "AutoDeleteArtifacts", target=target, key=key, bucket=bucket)
    return bucket
