"""Names that are taken: CloudFormation refuses to create what exists already, the emulator would overwrite most of it.

Without this, two installations that collide, or a log group that a service has made again, would pass here and fail
on AWS.
"""

from boto3.session import Session

from rehearsal.emulator.handlers.base import Properties, ResourceError
from rehearsal.emulator.inventory import LISTINGS

NAMED: dict[str, tuple[str, str]] = {
    "AWS::CloudWatch::Alarm": ("AlarmName", "CloudWatch alarm"),
    "AWS::CloudWatch::CompositeAlarm": ("AlarmName", "CloudWatch alarm"),
    "AWS::CloudWatch::Dashboard": ("DashboardName", "CloudWatch dashboard"),
    "AWS::ECR::Repository": ("RepositoryName", "ECR repository"),
    "AWS::ECS::Cluster": ("ClusterName", "ECS cluster"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("Name", "load balancer"),
    "AWS::ElasticLoadBalancingV2::TargetGroup": ("Name", "target group"),
    "AWS::Events::Rule": ("Name", "EventBridge rule"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "IAM policy"),
    "AWS::IAM::Role": ("RoleName", "IAM role"),
    "AWS::KMS::Alias": ("AliasName", "KMS alias"),
    "AWS::Lambda::Function": ("FunctionName", "Lambda function"),
    "AWS::Logs::LogGroup": ("LogGroupName", "log group"),
    "AWS::RDS::DBCluster": ("DBClusterIdentifier", "RDS cluster"),
    "AWS::RDS::DBInstance": ("DBInstanceIdentifier", "RDS instance"),
    "AWS::RDS::DBSubnetGroup": ("DBSubnetGroupName", "RDS subnet group"),
    "AWS::SNS::Topic": ("TopicName", "SNS topic"),
    "AWS::SecretsManager::Secret": ("Name", "secret"),
    "AWS::WAFv2::WebACL": ("Name", "web ACL"),
}
"""Resource type -> the property with its name, and how the inventory lists what exists."""


def refuse_existing(session: Session, type_name: str, properties: Properties) -> None:
    """Raise `ResourceError` when a resource of this type with the same explicit name exists."""
    name_property, kind = NAMED[type_name]
    name = properties.get(name_property)
    if name and any(str(name) in _names(existing) for existing in LISTINGS[kind](session)):
        raise ResourceError(f"Resource of type '{type_name}' with identifier '{name}' already exists.")


def _names(listed: str) -> set[str]:
    """Return what a listed id may be the id of: itself, and the name in an ARN.

    `...:topic`, `...:policy/path/name`, `...:cluster/name`, `...:loadbalancer/app/name/1234`.
    """
    if not listed.startswith("arn:"):
        return {listed}
    parts = listed.split(":", 5)[5].split("/")
    load_balancing = listed.split(":")[2] == "elasticloadbalancing"
    return {parts[-2] if load_balancing else parts[-1]}
