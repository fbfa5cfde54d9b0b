"""Roles that a resource hands to a service: CloudFormation passes them (`iam:PassRole`), and the service assumes them.

Source of the service names: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html and, for each
service, its chapter on service roles; `at_creation` where the service tries the role before it answers:
https://repost.aws/knowledge-center/lambda-troubleshoot-function-failures (the role cannot be assumed by Lambda),
https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html,
https://docs.aws.amazon.com/codepipeline/latest/userguide/troubleshooting.html,
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Monitoring.OS.Enabling.html
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rehearsal.emulator import backend
from rehearsal.emulator.authorization.properties import Properties, arns_in, value_at, values_at

SERVICE_LINKED = ":role/aws-service-role/"
"""Part of the ARN of every role that belongs to a service, and that only the service makes and assumes."""


@dataclass(frozen=True, kw_only=True)
class PassedRole:
    """A role in the properties of a resource, for a service; `at_creation` says that AWS tries it then."""

    role: str
    service: str | None
    at_creation: bool


@dataclass(frozen=True, kw_only=True)
class _Row:
    path: str
    service: str
    at_creation: bool = True


_ROLES: Mapping[str, Sequence[_Row]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        _Row(path="RoleARN", service="application-autoscaling.amazonaws.com"),
    ),
    "AWS::CodeBuild::Project": (_Row(path="ServiceRole", service="codebuild.amazonaws.com"),),
    "AWS::CodePipeline::Pipeline": (_Row(path="RoleArn", service="codepipeline.amazonaws.com"),),
    "AWS::EC2::FlowLog": (_Row(path="DeliverLogsPermissionArn", service="vpc-flow-logs.amazonaws.com"),),
    "AWS::ECS::Service": (
        _Row(path="LoadBalancers.*.AdvancedConfiguration.RoleArn", service="ecs.amazonaws.com"),
        _Row(path="DeploymentConfiguration.LifecycleHooks.*.RoleArn", service="ecs.amazonaws.com", at_creation=False),
        _Row(path="Role", service="ecs.amazonaws.com"),
    ),
    "AWS::ECS::TaskDefinition": (
        _Row(path="ExecutionRoleArn", service="ecs-tasks.amazonaws.com", at_creation=False),
        _Row(path="TaskRoleArn", service="ecs-tasks.amazonaws.com", at_creation=False),
    ),
    "AWS::Events::Rule": (_Row(path="Targets.*.RoleArn", service="events.amazonaws.com", at_creation=False),),
    "AWS::Lambda::Function": (_Row(path="Role", service="lambda.amazonaws.com"),),
    "AWS::RDS::DBCluster": (
        _Row(path="MonitoringRoleArn", service="monitoring.rds.amazonaws.com"),
        _Row(path="AssociatedRoles.*.RoleArn", service="rds.amazonaws.com", at_creation=False),
    ),
    "AWS::RDS::DBInstance": (
        _Row(path="MonitoringRoleArn", service="monitoring.rds.amazonaws.com"),
        _Row(path="AssociatedRoles.*.RoleArn", service="rds.amazonaws.com", at_creation=False),
    ),
    "AWS::S3::Bucket": (_Row(path="ReplicationConfiguration.Role", service="s3.amazonaws.com", at_creation=False),),
    "AWS::SNS::Subscription": (_Row(path="SubscriptionRoleArn", service="sns.amazonaws.com", at_creation=False),),
    "AWS::Synthetics::Canary": (_Row(path="ExecutionRoleArn", service="lambda.amazonaws.com"),),
}

_LINKED: Mapping[str, tuple[str, str]] = {
    "AWS::ECS::Cluster": ("ecs.amazonaws.com", "AWSServiceRoleForECS"),
    "AWS::RDS::DBCluster": ("rds.amazonaws.com", "AWSServiceRoleForRDS"),
    "AWS::RDS::DBClusterParameterGroup": ("rds.amazonaws.com", "AWSServiceRoleForRDS"),
    "AWS::RDS::DBInstance": ("rds.amazonaws.com", "AWSServiceRoleForRDS"),
    "AWS::RDS::DBSubnetGroup": ("rds.amazonaws.com", "AWSServiceRoleForRDS"),
    "AWS::WAFv2::LoggingConfiguration": ("wafv2.amazonaws.com", "AWSServiceRoleForWAFV2Logging"),
}
"""Type -> the service whose role AWS makes with it, and the role's name.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html
"""


def passed_roles(type_name: str, properties: Properties) -> Iterator[PassedRole]:
    """Yield the roles that a resource passes; of a type that no row names, every role in its properties."""
    rows = _ROLES.get(type_name)
    if rows is None:
        for arn in arns_in(properties):
            if ":iam::" in arn and ":role/" in arn:
                yield PassedRole(role=arn, service=None, at_creation=False)
        return
    for row in rows:
        for role in values_at(properties, row.path):
            yield PassedRole(role=_arn(role), service=row.service, at_creation=row.at_creation)


def linked_role(type_name: str, properties: Properties) -> tuple[str, str] | None:
    """Return the service and the ARN of the service-linked role that a resource needs; None where it needs none."""
    found = _LINKED.get(type_name)
    if type_name == "AWS::ApplicationAutoScaling::ScalableTarget":
        namespace = value_at(properties, "ServiceNamespace") or ""
        found = f"{namespace}.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling"
    if found is None:
        return None
    service, name = found
    return service, f"arn:aws:iam::{backend.account_id()}{SERVICE_LINKED}{service}/{name}"


def _arn(role: str) -> str:
    return role if role.startswith("arn:") else f"arn:aws:iam::{backend.account_id()}:role/{role}"
