"""Name conflicts: CloudFormation refuses to create a resource that exists, which the emulator would overwrite.

Otherwise two installations with the same names, or a log group that a service has created again, would pass here and
fail on AWS.
"""

from boto3.session import Session

from rehearsal.account.inventory import LISTINGS
from rehearsal.emulator.core.properties import Properties, ResourceError

#: Resource type to the property with its name and the kind in the inventory.
NAMED_TYPES: dict[str, tuple[str, str]] = {
    "AWS::CloudWatch::Alarm": ("AlarmName", "CloudWatch alarm"),
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


def refuse_existing(session: Session, type_name: str, properties: Properties) -> None:
    """Refuse a resource whose explicit name exists.

    Raises:
        ResourceError: It exists.

    """
    name_property, kind = NAMED_TYPES[type_name]
    name = properties.get(name_property)
    if name and any(str(name) in _names(existing) for existing in LISTINGS[kind](session)):
        raise ResourceError(f"Resource of type '{type_name}' with identifier '{name}' already exists.")


def _names(listed: str) -> set[str]:
    """Return the names of a listed id: the id itself, or the name in an ARN.

    `...:topic`, `...:policy/path/name`, `...:cluster/name`, `...:loadbalancer/app/name/1234`.
    """
    if not listed.startswith("arn:"):
        return {listed}
    parts = listed.split(":", 5)[5].split("/")
    load_balancing = listed.split(":")[2] == "elasticloadbalancing"
    return {parts[-2] if load_balancing else parts[-1]}
