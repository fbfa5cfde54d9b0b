"""Where artifacts are copied to for environments in other regions: CloudFormation reads them in its own region.

CDK would make a support stack whose bucket and key outlive everything; this one goes with the pipeline.
"""

from dataclasses import dataclass

from aws_cdk import Environment, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

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
    def bucket_name(self) -> str:
        """Name of the replica's bucket."""
        return self.names.unique("pipeline-artifacts")


class ReplicationStack(Stack):
    """Bucket and key for the artifacts of one other region.

    Attributes:
        bucket: where CodePipeline copies artifacts to.
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
        # As the alias, whose name is known in other regions; a key's ARN is not.
        alias = kms.Alias(self, "Alias", alias_name=place.key_alias, target_key=key)
        self.bucket: s3.Bucket = artifact_bucket(self, place, name=place.bucket_name, key=alias, log_key=key)
        tag_all(self, config.names)


def other_regions(config: PipelineConfig) -> list[str]:
    """Regions of environments that are not the pipeline's own."""
    return sorted({stage.environment.region for stage in config.stages} - {config.region})


def short(region: str) -> str:
    """A region in few letters, as in zone ids: `eu-west-1` is `euw1`, `ap-southeast-2` is `apse2`."""
    area, *middle, number = region.split("-")
    compass = {"northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}
    return area + "".join(compass.get(part, part[0]) for part in middle) + number
