"""The bucket for the load balancer's access logs."""

from aws_cdk import aws_kms as kms
from constructs import Construct

from kit.acknowledgements import acknowledge
from kit.buckets import PrivateBucket
from kit.custom_resources import AutoDeleteObjects
from stages.config.environment import EnvironmentConfig


class AccessLogBucket(Construct):
    """A private bucket with S3-managed keys, the only ones that log delivery supports.

    Attributes:
        bucket: Destination of the access logs.
        auto_delete: What the load balancer must depend on, so that delivery stops before the bucket is emptied.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        self.bucket = PrivateBucket(
            self,
            "Bucket",
            name=config.names.globally_unique("alb-logs"),
            expiration_days=config.log_retention_days,
            logging_reason="This is the log bucket: logging access to it into itself would never end.",
            replication_reason="Access logs for short-term analysis, kept for the log retention only; losing them "
            "harms nobody.",
        )
        self.auto_delete = AutoDeleteObjects(self, "AutoDelete", target=config, key=key, bucket=self.bucket)
        acknowledge(
            self.bucket,
            "NIST.800.53.R5-S3DefaultEncryptionKMS",
            "PCI.DSS.321-S3DefaultEncryptionKMS",
            reason="The load balancer's log delivery supports S3-managed keys only.",
        )
