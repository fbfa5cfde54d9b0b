"""Log groups: encrypted, with a retention, and deleted with their stack."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from kit.environment import TargetEnvironment


class EncryptedLogGroup(logs.LogGroup):
    """A log group that AWS would otherwise create itself, unencrypted and without expiry.

    Whatever writes to it must depend on it, so that the service does not create the group first.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, name: str, target: TargetEnvironment, key: kms.IKey
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            log_group_name=name,
            encryption_key=key,
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        resource = self.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)  # noqa: S101 - the L1 resource of this construct
        resource.retention_in_days = target.log_retention_days
