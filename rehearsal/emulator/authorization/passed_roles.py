"""Roles that a resource passes to a service: CloudFormation passes them (`iam:PassRole`), the service assumes them.

Source of the service names: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html and, for each
service, its chapter on service roles; `at_creation` where the service validates the role at once:
https://repost.aws/knowledge-center/lambda-troubleshoot-function-failures (the role cannot be assumed by Lambda),
https://docs.aws.amazon.com/codebuild/latest/userguide/troubleshooting.html,
https://docs.aws.amazon.com/codepipeline/latest/userguide/troubleshooting.html,
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Monitoring.OS.Enabling.html
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rehearsal.emulator.core import ministack
from rehearsal.emulator.core.properties import Properties, arns_in, value_at, values_at

#: A part of the ARNs of service-linked roles.
SERVICE_LINKED = ":role/aws-service-role/"


@dataclass(frozen=True, kw_only=True)
class PassedRole:
    """A role in the properties of a resource."""

    role: str
    #: The service that assumes it; None if unknown.
    service: str | None
    #: Whether the service assumes it when the resource is created.
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
    "AWS::ECS::Service": (_Row(path="LoadBalancers.*.AdvancedConfiguration.RoleArn", service="ecs.amazonaws.com"),),
    "AWS::ECS::TaskDefinition": (
        _Row(path="ExecutionRoleArn", service="ecs-tasks.amazonaws.com", at_creation=False),
        _Row(path="TaskRoleArn", service="ecs-tasks.amazonaws.com", at_creation=False),
    ),
    "AWS::Events::Rule": (_Row(path="Targets.*.RoleArn", service="events.amazonaws.com", at_creation=False),),
    "AWS::Lambda::Function": (_Row(path="Role", service="lambda.amazonaws.com"),),
    "AWS::RDS::DBInstance": (_Row(path="MonitoringRoleArn", service="monitoring.rds.amazonaws.com"),),
}

#: Type to the service and the name of the service-linked role that AWS creates with it.
#:
#: Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html
_LINKED: Mapping[str, tuple[str, str]] = {
    "AWS::ECS::Cluster": ("ecs.amazonaws.com", "AWSServiceRoleForECS"),
    "AWS::RDS::DBCluster": ("rds.amazonaws.com", "AWSServiceRoleForRDS"),
    "AWS::RDS::DBClusterParameterGroup": ("rds.amazonaws.com", "AWSServiceRoleForRDS"),
    "AWS::RDS::DBInstance": ("rds.amazonaws.com", "AWSServiceRoleForRDS"),
    "AWS::RDS::DBSubnetGroup": ("rds.amazonaws.com", "AWSServiceRoleForRDS"),
    "AWS::WAFv2::LoggingConfiguration": ("wafv2.amazonaws.com", "AWSServiceRoleForWAFV2Logging"),
}


def passed_roles(type_name: str, properties: Properties) -> Iterator[PassedRole]:
    """Yield the roles that a resource passes; for a type without rows, every role in its properties."""
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
    """Return the service and the ARN of the service-linked role that a resource needs; None without one."""
    found = _LINKED.get(type_name)
    if type_name == "AWS::ApplicationAutoScaling::ScalableTarget":
        namespace = value_at(properties, "ServiceNamespace") or ""
        found = f"{namespace}.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling"
    if found is None:
        return None
    service, name = found
    return service, f"arn:aws:iam::{ministack.account_id()}{SERVICE_LINKED}{service}/{name}"


def _arn(role: str) -> str:
    return role if role.startswith("arn:") else f"arn:aws:iam::{ministack.account_id()}:role/{role}"
