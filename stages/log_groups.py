"""Log groups: declared, encrypted, with a retention, gone with their stack."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from stages.config import Place


class DeclaredLogGroup(logs.LogGroup):
    """A log group that AWS would otherwise make itself, unencrypted and for ever; what writes to it depends on it."""

    def __init__(self, scope: Construct, construct_id: str, *, name: str, config: Place, key: kms.IKey) -> None:
        super().__init__(
            scope,
            construct_id,
            log_group_name=name,
            encryption_key=key,
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        resource = self.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)  # noqa: S101 - what this construct is made of
        resource.retention_in_days = config.log_retention_days
