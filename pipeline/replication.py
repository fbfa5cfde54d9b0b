"""Where artifacts are copied for environments in other regions: CloudFormation reads them in its own region.

CDK would create a support stack whose bucket and key outlive everything; this one is deleted with the pipeline. It is
deployed before PipelineStack, so its policies cannot name a role of that stack: KMS and S3 reject principals that do
not exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from kit.custom_resources import EMPTY_BUCKET
from kit.naming import Names, tag_all
from pipeline.bootstrap.arns import bootstrap_role_arns
from pipeline.config import PipelineConfig
from pipeline.storage import create_artifact_bucket, create_key


@dataclass(frozen=True, kw_only=True)
class ReplicaEnvironment:
    """The pipeline in another region; its names end in the region, because roles are global."""

    names: Names
    account: str
    region: str
    log_retention_days: int

    @classmethod
    def of(cls, config: PipelineConfig, region: str) -> "ReplicaEnvironment":
        """Return the environment of the pipeline `config` in `region`."""
        suffix = f"{config.names.suffix}-{abbreviate(region)}"
        return cls(
            names=Names(suffix=suffix, account=config.account, region=region),
            account=config.account,
            region=region,
            log_retention_days=config.log_retention_days,
        )

    @property
    def key_alias(self) -> str:
        """Alias of the replica's key, by which other regions refer to it."""
        return self.names.name("alias/pipeline-key")

    @property
    def key_alias_arn(self) -> str:
        """ARN of that alias."""
        return f"arn:aws:kms:{self.region}:{self.account}:{self.key_alias}"

    @property
    def bucket_name(self) -> str:
        """Name of the replica's bucket."""
        return self.names.globally_unique("pipeline-artifacts")


class ReplicationStack(Stack):
    """Bucket and key for artifacts in one other region.

    Attributes:
        bucket: Where CodePipeline copies artifacts, imported so that CDK adds no statements of its own to its policy or
            its key's.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: PipelineConfig, region: str) -> None:
        replica = ReplicaEnvironment.of(config, region)
        super().__init__(
            scope,
            construct_id,
            stack_name=f"{config.stack_name}-{region}",
            description=f"Artifacts of the pipeline {config.names.suffix} for environments in {region}",
            env=Environment(account=config.account, region=region),
        )
        key = create_key(self, replica, log_groups=[replica.names.function_logs(EMPTY_BUCKET)], alias=None)
        kms.Alias(self, "Alias", alias_name=replica.key_alias, target_key=key)
        bucket = create_artifact_bucket(self, replica, key=key)
        _let_deploy_roles_read(key, bucket, roles=_deploy_roles(config, region))
        self.bucket: s3.IBucket = s3.Bucket.from_bucket_attributes(
            self,
            "ImportedBucket",
            bucket_name=replica.bucket_name,
            account=replica.account,
            region=region,
            # By its alias, whose name is known in other regions; a key's ARN is not.
            encryption_key=kms.Key.from_key_arn(self, "ImportedKey", replica.key_alias_arn),
        )
        tag_all(self, config.names)


def _deploy_roles(config: PipelineConfig, region: str) -> list[iam.IPrincipal]:
    """Return the bootstrap's deploy roles for environments in a region; bootstrapping precedes every environment."""
    accounts = (stage.environment.account for stage in config.stages if stage.environment.region == region)
    return [iam.ArnPrincipal(arn) for arn in bootstrap_role_arns("deploy", ((one, region) for one in accounts))]


def _let_deploy_roles_read(key: kms.Key, bucket: s3.Bucket, *, roles: Sequence[iam.IPrincipal]) -> None:
    """Let the roles read artifacts. The pipeline's own role needs no mention: the account's IAM policies decide."""
    for sid, resource, actions in (
        (
            "DeployRolesFindArtifacts",
            bucket.bucket_arn,
            ("s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:ListBucket"),
        ),
        ("DeployRolesReadArtifacts", bucket.arn_for_objects("*"), ("s3:GetObject", "s3:GetObjectVersion")),
    ):
        bucket.add_to_resource_policy(
            iam.PolicyStatement(sid=sid, principals=list(roles), actions=list(actions), resources=[resource])
        )
    use = iam.PolicyStatement(
        sid="DeployRolesUseKey", principals=list(roles), actions=["kms:Decrypt", "kms:DescribeKey"], resources=["*"]
    )
    key.add_to_resource_policy(use)


def other_regions(config: PipelineConfig) -> list[str]:
    """Return the regions of environments other than the pipeline's own region."""
    return sorted({stage.environment.region for stage in config.stages} - {config.region})


def abbreviate(region: str) -> str:
    """Abbreviate a region as in zone ids: `eu-west-1` becomes `euw1`, `ap-southeast-2` becomes `apse2`."""
    area, *middle, number = region.split("-")
    compass = {"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}
    return area + "".join(compass.get(part, part[0]) for part in middle) + number
