"""The bucket for the load balancer's access logs."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stages.acknowledgements import acknowledge
from stages.cleaner import EmptiedBucket
from stages.config import EnvironmentConfig


class AccessLogBucket(Construct):
    """Private, TLS only, with S3-managed keys (the only ones that log delivery supports), emptied with its stack.

    Attributes:
        bucket: where to deliver to.
        emptied: what the load balancer must depend on, so that it stops delivering before the bucket is emptied.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: EnvironmentConfig, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=config.names.unique("alb-logs"),
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            versioned=True,  # an overwritten or deleted log stays readable until it expires
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="expire",
                    expiration=Duration.days(config.capacity.log_retention_days),
                    noncurrent_version_expiration=Duration.days(7),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.emptied = EmptiedBucket(self, "Emptied", config=config, key=key, bucket=self.bucket)
        acknowledge(
            self.bucket,
            {
                **dict.fromkeys(
                    (
                        "AwsSolutions-S1",
                        "NIST.800.53.R5-S3BucketLoggingEnabled",
                        "PCI.DSS.321-S3BucketLoggingEnabled",
                        "CKV_AWS_18",
                    ),
                    "This is the log bucket: logging its own access into itself would never end.",
                ),
                **dict.fromkeys(
                    ("NIST.800.53.R5-S3BucketReplicationEnabled", "PCI.DSS.321-S3BucketReplicationEnabled"),
                    "Access logs for short-term analysis, kept for the log retention only; their loss harms nobody.",
                ),
                **dict.fromkeys(
                    ("NIST.800.53.R5-S3DefaultEncryptionKMS", "PCI.DSS.321-S3DefaultEncryptionKMS"),
                    "The load balancer's log delivery supports S3-managed keys only.",
                ),
            },
        )
