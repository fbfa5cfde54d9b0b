"""Private buckets that are deleted with their stack."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from kit.acknowledgements import acknowledge


class PrivateBucket(s3.Bucket):
    """A versioned bucket without public access, over TLS only, whose objects expire.

    It cannot be deleted while it holds objects: pair it with `AutoDeleteObjects`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        expiration_days: int,
        logging_reason: str,
        replication_reason: str,
        key: kms.IKey | None = None,
    ) -> None:
        """Create the bucket.

        Args:
            scope: Parent construct.
            construct_id: Id in `scope`.
            name: Physical name.
            expiration_days: Age at which objects are deleted.
            logging_reason: Why its accesses need not be logged.
            replication_reason: Why it need not be replicated.
            key: Encrypts the objects; S3-managed keys do without one.
        """
        super().__init__(
            scope,
            construct_id,
            bucket_name=name,
            encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=key,
            bucket_key_enabled=True if key else None,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            versioned=True,  # an overwritten or deleted object stays readable until it expires
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="expire",
                    expiration=Duration.days(expiration_days),
                    noncurrent_version_expiration=Duration.days(7),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(
            self,
            "AwsSolutions-S1",
            "NIST.800.53.R5-S3BucketLoggingEnabled",
            "PCI.DSS.321-S3BucketLoggingEnabled",
            "CKV_AWS_18",
            reason=logging_reason,
        )
        acknowledge(
            self,
            "NIST.800.53.R5-S3BucketReplicationEnabled",
            "PCI.DSS.321-S3BucketReplicationEnabled",
            reason=replication_reason,
        )
