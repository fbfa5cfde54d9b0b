"""Custom resources for what CloudFormation cannot do itself, with a small Python function each.

CDK has providers for both (`restrictDefaultSecurityGroup`, `auto_delete_objects`), but their roles may create log
groups and their log groups outlive the stack; see docs/decisions/0101-own-custom-resources.md.
"""

from pathlib import Path
from typing import cast

from aws_cdk import CfnElement, CustomResource, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stages.acknowledgements import acknowledge
from stages.config import Place
from stages.log_groups import DeclaredLogGroup
from stages.policies import OPEN_ENDS, grant

_SOURCE = Path(__file__).parent / "handlers" / "cleaner.py"


class _Cleaner(Construct):
    """A function that may do exactly `statements`, and a custom resource of `resource_type` that calls it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: Place,
        key: kms.IKey,
        kind: str,
        resource_type: str,
        properties: dict[str, str],
        statements: list[iam.PolicyStatement],
    ) -> None:
        super().__init__(scope, construct_id)
        names = config.names
        log_group = DeclaredLogGroup(self, "Logs", name=names.function_logs(kind), config=config, key=key)
        role = iam.Role(
            self,
            "Role",
            role_name=names.name(f"role-{kind}"),
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"Lets the custom resource {resource_type} do its one thing",
        )
        policy = grant(
            role,
            name=names.name(f"policy-{kind}"),
            statements=[
                *statements,
                iam.PolicyStatement(
                    sid="WriteOwnLog",
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[log_group.log_group_arn],
                ),
            ],
        )
        function = lambda_.Function(
            self,
            "Function",
            function_name=names.function(kind),
            description=f"Custom resource {resource_type}",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="index.handler",
            code=lambda_.Code.from_inline(inline_source()),
            # By ARN: given the role itself, CDK lets the function depend on it twice, which cfn-lint rightly finds odd.
            role=iam.Role.from_role_arn(self, "RoleAsIs", role.role_arn, mutable=False),
            log_group=log_group,
            memory_size=128,
            timeout=Duration.minutes(10),
        )
        function.node.add_dependency(policy)
        acknowledge(
            function,
            {
                **dict.fromkeys(
                    ("NIST.800.53.R5-LambdaConcurrency", "CKV_AWS_115"),
                    _ONLY_CLOUDFORMATION + "it never runs more than once at a time.",
                ),
                **dict.fromkeys(
                    ("NIST.800.53.R5-LambdaDLQ", "CKV_AWS_116"),
                    _ONLY_CLOUDFORMATION
                    + "every failure is answered to it and fails the deployment, where an operator sees it.",
                ),
                **dict.fromkeys(
                    ("NIST.800.53.R5-LambdaInsideVPC", "PCI.DSS.321-LambdaInsideVPC", "CKV_AWS_117"),
                    _ONLY_CLOUDFORMATION
                    + "it talks to AWS endpoints only, and inside the VPC it would outlive what it cleans.",
                ),
            },
        )
        self.resource = CustomResource(
            self,
            "Resource",
            service_token=function.function_arn,
            resource_type=resource_type,
            properties=properties,
            service_timeout=Duration.minutes(11),
        )


_ONLY_CLOUDFORMATION = "Called by CloudFormation alone, during a deployment; "


class ClosedDefaultGroup(Construct):
    """The VPC's default security group without any rule."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: Place,
        key: kms.IKey,
        group_id: str,
    ) -> None:
        super().__init__(scope, construct_id)
        arn = f"arn:aws:ec2:{config.region}:{config.account}:security-group/{group_id}"
        _Cleaner(
            self,
            "Cleaner",
            config=config,
            key=key,
            kind="close-default-group",
            resource_type="Custom::ClosedDefaultGroup",
            properties={"PhysicalName": f"closed-{group_id}", "GroupId": group_id, "Account": config.account},
            statements=[
                iam.PolicyStatement(
                    sid="CloseDefaultGroup",
                    actions=["ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress"],
                    resources=[arn],
                )
            ],
        )


class EmptiedBucket(Construct):
    """Empties `bucket` when the stack goes; what writes to the bucket must depend on this, so that it stops first."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: Place,
        key: kms.IKey,
        bucket: s3.Bucket,
    ) -> None:
        super().__init__(scope, construct_id)
        cleaner = _Cleaner(
            self,
            "Cleaner",
            config=config,
            key=key,
            kind="empty-bucket",
            resource_type="Custom::EmptiedBucket",
            properties={"PhysicalName": f"emptied-{config.names.suffix}", "Bucket": bucket.bucket_name},
            statements=[
                iam.PolicyStatement(
                    sid="ListVersions", actions=["s3:ListBucketVersions"], resources=[bucket.bucket_arn]
                ),
                iam.PolicyStatement(
                    sid="DeleteVersions",
                    actions=["s3:DeleteObject", "s3:DeleteObjectVersion"],
                    resources=[bucket.arn_for_objects("*")],
                ),
            ],
        )
        logical_id = Stack.of(bucket).get_logical_id(cast("CfnElement", bucket.node.default_child))
        acknowledge(cleaner, {f"AwsSolutions-IAM5[Resource::<{logical_id}.Arn>/*]": OPEN_ENDS["s3:DeleteObject"]})
        if bucket.policy is not None:  # the policy must still be there while objects are deleted
            cleaner.node.add_dependency(bucket.policy)


def inline_source() -> str:
    """The functions' code as it goes into the template: the file without its first docstring."""
    return _SOURCE.read_text(encoding="utf-8").split('"""', 2)[2].strip() + "\n"
