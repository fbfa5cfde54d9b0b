"""What the pipeline keeps: artifacts and logs, under a key of its own. All of it goes with the stack."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stages.acknowledgements import acknowledge
from stages.cleaner import EmptiedBucket
from stages.config import Place
from stages.encryption import ADMINISTRATION, USE
from stages.log_groups import DeclaredLogGroup

#: Artifacts only matter while their execution can still be retried or rolled back to.
ARTIFACT_DAYS = 30


def build_log_group_name(config: Place) -> str:
    """The log group that every build of the pipeline writes to."""
    return config.names.name("pipeline-builds")


class PipelineStorage(Construct):
    """Key, artifact bucket and log group of the pipeline.

    Attributes:
        key: encrypts all that the pipeline keeps.
        bucket: artifacts.
        log_group: output of all builds.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: Place, encrypted_logs: list[str]) -> None:
        super().__init__(scope, construct_id)
        self.key = pipeline_key(
            self,
            config,
            log_groups=[build_log_group_name(config), *encrypted_logs],
            alias=config.names.name("alias/pipeline-key"),
        )
        self.bucket = artifact_bucket(
            self, config, name=config.names.unique("pipeline-artifacts"), key=self.key, log_key=self.key
        )
        self.log_group: logs.LogGroup = DeclaredLogGroup(
            self, "BuildLogs", name=build_log_group_name(config), config=config, key=self.key
        )


def pipeline_key(scope: Construct, config: Place, *, log_groups: list[str], alias: str | None) -> kms.Key:
    """A rotating key that the account's administrators keep and IAM policies of the account may use."""
    account = iam.AccountPrincipal(config.account)
    prefix = f"arn:aws:logs:{config.region}:{config.account}:log-group:"
    statements = [
        # The account itself, not a role: IAM decides who administers, and nobody can lock everybody out.
        iam.PolicyStatement(sid="Administration", principals=[account], actions=list(ADMINISTRATION), resources=["*"]),
        # Roles of this account state the same in their own policies; deploy roles of others are added by name.
        iam.PolicyStatement(sid="UseByPolicy", principals=[account], actions=list(USE), resources=["*"]),
        # Lambda keeps a grant for the role of each function whose environment it encrypts, and makes it as its caller.
        iam.PolicyStatement(
            sid="GrantsForFunctions",
            principals=[account],
            actions=["kms:CreateGrant"],
            resources=["*"],
            conditions={"StringEquals": {"kms:ViaService": f"lambda.{config.region}.amazonaws.com"}},
        ),
        iam.PolicyStatement(
            sid="LogGroups",
            principals=[iam.ServicePrincipal(f"logs.{config.region}.amazonaws.com")],
            actions=list(USE),
            resources=["*"],
            conditions={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": [prefix + name for name in log_groups]}},
        ),
    ]
    return kms.Key(
        scope,
        "Key",
        alias=alias,
        description=f"Artifacts, build logs and notifications of the pipeline {config.names.suffix}",
        enable_key_rotation=True,
        pending_window=Duration.days(7),
        removal_policy=RemovalPolicy.DESTROY,
        policy=iam.PolicyDocument(statements=statements),
    )


def artifact_bucket(scope: Construct, config: Place, *, name: str, key: kms.IKey, log_key: kms.IKey) -> s3.Bucket:
    """A bucket for artifacts, emptied with its stack; `log_key` encrypts what the emptying function logs."""
    bucket = s3.Bucket(
        scope,
        "Artifacts",
        bucket_name=name,
        encryption=s3.BucketEncryption.KMS,
        encryption_key=key,
        bucket_key_enabled=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        versioned=True,
        lifecycle_rules=[
            s3.LifecycleRule(
                id="expire",
                expiration=Duration.days(ARTIFACT_DAYS),
                noncurrent_version_expiration=Duration.days(7),
                abort_incomplete_multipart_upload_after=Duration.days(1),
            )
        ],
        removal_policy=RemovalPolicy.DESTROY,
    )
    EmptiedBucket(scope, "EmptiedArtifacts", config=config, key=log_key, bucket=bucket)
    acknowledge(
        bucket,
        {
            **dict.fromkeys(
                (
                    "AwsSolutions-S1",
                    "NIST.800.53.R5-S3BucketLoggingEnabled",
                    "PCI.DSS.321-S3BucketLoggingEnabled",
                    "CKV_AWS_18",
                ),
                "Only the pipeline's own roles can read or write here, and CloudTrail names them; a log of each "
                "build's transfers would be larger than the artifacts.",
            ),
            **dict.fromkeys(
                ("NIST.800.53.R5-S3BucketReplicationEnabled", "PCI.DSS.321-S3BucketReplicationEnabled"),
                "Artifacts are made again from the commit by running the pipeline; nothing is lost with them.",
            ),
        },
    )
    return bucket
