"""Custom resources for what CloudFormation cannot do itself.

CDK has providers for both (`restrictDefaultSecurityGroup`, `auto_delete_objects`), but their roles may create log
groups, and their log groups outlive the stack; see docs/decisions/0101-own-custom-resources.md.
"""

from pathlib import Path
from typing import cast

from aws_cdk import CfnElement, CustomResource, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from kit.acknowledgements import acknowledge
from kit.environment import TargetEnvironment
from kit.functions import FunctionFindings, InlineFunction
from kit.policies import PREFIX_RESOURCES, allow

#: Purposes of the functions behind the custom resources, which name the functions and their log groups.
RESTRICT_DEFAULT_GROUP, EMPTY_BUCKET = FUNCTIONS = ("restrict-default-group", "empty-bucket")
HANDLER = Path(__file__).parent / "handlers" / "custom_resources.py"
_CALLER = "Called only by CloudFormation, during a deployment; "
_FINDINGS = FunctionFindings(
    concurrency=_CALLER + "it never runs more than once at a time.",
    dead_letter_queue=_CALLER + "it reports every failure to CloudFormation, which fails the deployment visibly.",
    vpc=_CALLER + "it calls AWS endpoints only, and inside the VPC it would outlive what it cleans up.",
)


class _FunctionResource(InlineFunction):
    """A custom resource with a function of its own."""

    def __init__(
        self,
        scope: Construct,
        *,
        target: TargetEnvironment,
        key: kms.IKey,
        purpose: str,
        resource_type: str,
        properties: dict[str, str],
        statements: list[iam.PolicyStatement],
    ) -> None:
        super().__init__(
            scope,
            "Handler",
            target=target,
            key=key,
            purpose=purpose,
            description=f"Handler of the custom resource {resource_type}",
            source=HANDLER,
            statements=statements,
            timeout=Duration.minutes(10),
            findings=_FINDINGS,
        )
        self.resource = CustomResource(
            self,
            "Resource",
            service_token=self.function.function_arn,
            resource_type=resource_type,
            properties=properties,
            service_timeout=Duration.minutes(11),
        )


class RestrictedDefaultSecurityGroup(Construct):
    """The VPC's default security group, without any rule."""

    def __init__(
        self, scope: Construct, construct_id: str, *, target: TargetEnvironment, key: kms.IKey, group_id: str
    ) -> None:
        super().__init__(scope, construct_id)
        _FunctionResource(
            self,
            target=target,
            key=key,
            purpose=RESTRICT_DEFAULT_GROUP,
            resource_type="Custom::RestrictDefaultSecurityGroup",
            properties={"PhysicalName": f"restricted-{group_id}", "GroupId": group_id, "Account": target.account},
            statements=[
                allow(
                    "RestrictDefaultGroup",
                    ["ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress"],
                    [f"arn:aws:ec2:{target.region}:{target.account}:security-group/{group_id}"],
                )
            ],
        )


class AutoDeleteObjects(Construct):
    """Empties `bucket` when its stack is deleted.

    Whatever writes to the bucket must depend on this, so that writing stops before the bucket is emptied.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, target: TargetEnvironment, key: kms.IKey, bucket: s3.Bucket
    ) -> None:
        super().__init__(scope, construct_id)
        resource = _FunctionResource(
            self,
            target=target,
            key=key,
            purpose=EMPTY_BUCKET,
            resource_type="Custom::AutoDeleteObjects",
            properties={"PhysicalName": f"emptied-{target.names.suffix}", "Bucket": bucket.bucket_name},
            statements=[
                allow("ListVersions", ["s3:ListBucketVersions"], [bucket.bucket_arn]),
                allow("DeleteVersions", ["s3:DeleteObject", "s3:DeleteObjectVersion"], [bucket.arn_for_objects("*")]),
            ],
        )
        logical_id = Stack.of(bucket).get_logical_id(cast("CfnElement", bucket.node.default_child))
        acknowledge(
            resource,
            f"AwsSolutions-IAM5[Resource::<{logical_id}.Arn>/*]",
            reason=PREFIX_RESOURCES["s3:DeleteObject"],
        )
        if bucket.policy is not None:  # the policy must still exist while objects are deleted
            resource.node.add_dependency(bucket.policy)
