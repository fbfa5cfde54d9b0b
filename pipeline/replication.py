"""Where artifacts are copied to for environments in other regions: CloudFormation reads them in its own region.

CDK would make a support stack whose bucket and key outlive everything; this one goes with the pipeline. It is deployed
before PipelineStack, so its policies can name no role of that stack: KMS and S3 refuse principals that do not exist.
"""

from dataclasses import dataclass

from aws_cdk import Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from pipeline.bootstrap.resources import bootstrap_role_arns
from pipeline.config import PipelineConfig
from pipeline.storage import artifact_bucket, pipeline_key
from stages.naming import Names, tag_all


@dataclass(frozen=True, kw_only=True)
class Replica:
    """The pipeline's place in another region; its names end in the region, because roles are global."""

    names: Names
    account: str
    region: str
    log_retention_days: int

    @classmethod
    def of(cls, config: PipelineConfig, region: str) -> "Replica":
        """The place of the pipeline `config` in `region`."""
        suffix = f"{config.names.suffix}-{short(region)}"
        return cls(
            names=Names(suffix=suffix, account=config.account, region=region),
            account=config.account,
            region=region,
            log_retention_days=config.log_retention_days,
        )

    @property
    def key_alias(self) -> str:
        """Alias of the replica's key, by which other regions know it."""
        return self.names.name("alias/pipeline-key")

    @property
    def key_alias_arn(self) -> str:
        """That alias for other regions."""
        return f"arn:aws:kms:{self.region}:{self.account}:{self.key_alias}"

    @property
    def bucket_name(self) -> str:
        """Name of the replica's bucket."""
        return self.names.unique("pipeline-artifacts")


class ReplicationStack(Stack):
    """Bucket and key for the artifacts of one other region.

    Attributes:
        bucket: where CodePipeline copies artifacts to, as it is: CDK must not add statements of its own to its policy
            or to its key's.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: PipelineConfig, region: str) -> None:
        place = Replica.of(config, region)
        super().__init__(
            scope,
            construct_id,
            stack_name=f"{config.stack_name}-{region}",
            description=f"Artifacts of the pipeline {config.names.suffix} for environments in {region}",
            env=Environment(account=config.account, region=region),
        )
        key = pipeline_key(self, place, log_groups=[place.names.function_logs("empty-bucket")], alias=None)
        kms.Alias(self, "Alias", alias_name=place.key_alias, target_key=key)
        bucket = artifact_bucket(self, place, name=place.bucket_name, key=key, log_key=key)
        _let_deploy(key, bucket, roles=_deploy_roles(config, region))
        self.bucket: s3.IBucket = s3.Bucket.from_bucket_attributes(
            self,
            "BucketAsIs",
            bucket_name=place.bucket_name,
            account=place.account,
            region=region,
            # By its alias, whose name is known in other regions; a key's ARN is not.
            encryption_key=kms.Key.from_key_arn(self, "KeyAsIs", place.key_alias_arn),
        )
        tag_all(self, config.names)


def _deploy_roles(config: PipelineConfig, region: str) -> list[iam.IPrincipal]:
    """The bootstrap's roles that deploy environments in a region; each account is bootstrapped before it gets one."""
    accounts = (stage.environment.account for stage in config.stages if stage.environment.region == region)
    return [iam.ArnPrincipal(arn) for arn in bootstrap_role_arns("deploy", ((one, region) for one in accounts))]


def _let_deploy(key: kms.Key, bucket: s3.Bucket, *, roles: list[iam.IPrincipal]) -> None:
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
            iam.PolicyStatement(sid=sid, principals=roles, actions=list(actions), resources=[resource])
        )
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid="DeployRolesUseKey", principals=roles, actions=["kms:Decrypt", "kms:DescribeKey"], resources=["*"]
        )
    )


def other_regions(config: PipelineConfig) -> list[str]:
    """Regions of environments that are not the pipeline's own."""
    return sorted({stage.environment.region for stage in config.stages} - {config.region})


def short(region: str) -> str:
    """A region in few letters, as in zone ids: `eu-west-1` is `euw1`, `ap-southeast-2` is `apse2`."""
    area, *middle, number = region.split("-")
    compass = {"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}
    return area + "".join(compass.get(part, part[0]) for part in middle) + number
