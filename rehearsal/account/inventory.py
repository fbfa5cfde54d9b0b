"""An inventory of everything in an account; a comparison of two shows what a destroy left behind."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from boto3.session import Session

from rehearsal.account.records import Records

#: Ids by kind of resource, such as "security group".
Inventory = Mapping[str, frozenset[str]]

#: Kind to service, operation, member with the entries, and member with the id (None: the entry is the id).
_SIMPLE: dict[str, tuple[str, str, str, str | None]] = {
    "CloudFormation export": ("cloudformation", "list_exports", "Exports", "Name"),
    "CloudWatch dashboard": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    "CodeBuild project": ("codebuild", "list_projects", "projects", None),
    "ECR repository": ("ecr", "describe_repositories", "repositories", "repositoryName"),
    "ECS cluster": ("ecs", "list_clusters", "clusterArns", None),
    "Elastic IP address": ("ec2", "describe_addresses", "Addresses", "AllocationId"),
    "EventBridge rule": ("events", "list_rules", "Rules", "Name"),
    "IAM role": ("iam", "list_roles", "Roles", "RoleName"),
    "IAM user": ("iam", "list_users", "Users", "UserName"),
    "KMS alias": ("kms", "list_aliases", "Aliases", "AliasName"),
    "Lambda function": ("lambda", "list_functions", "Functions", "FunctionName"),
    "RDS cluster parameter group": (
        "rds",
        "describe_db_cluster_parameter_groups",
        "DBClusterParameterGroups",
        "DBClusterParameterGroupName",
    ),
    "RDS cluster snapshot": (
        "rds",
        "describe_db_cluster_snapshots",
        "DBClusterSnapshots",
        "DBClusterSnapshotIdentifier",
    ),
    "RDS cluster": ("rds", "describe_db_clusters", "DBClusters", "DBClusterIdentifier"),
    "RDS instance snapshot": ("rds", "describe_db_snapshots", "DBSnapshots", "DBSnapshotIdentifier"),
    "RDS instance": ("rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier"),
    "RDS subnet group": ("rds", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName"),
    "S3 bucket": ("s3", "list_buckets", "Buckets", "Name"),
    "SNS subscription": ("sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"),
    "SNS topic": ("sns", "list_topics", "Topics", "TopicArn"),
    "SSM parameter": ("ssm", "describe_parameters", "Parameters", "Name"),
    "VPC endpoint": ("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "VPC": ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    "certificate": ("acm", "list_certificates", "CertificateSummaryList", "CertificateArn"),
    "flow log": ("ec2", "describe_flow_logs", "FlowLogs", "FlowLogId"),
    "hosted zone": ("route53", "list_hosted_zones", "HostedZones", "Id"),
    "internet gateway": ("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "load balancer": ("elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerArn"),
    "log group": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "network ACL": ("ec2", "describe_network_acls", "NetworkAcls", "NetworkAclId"),
    "network interface": ("ec2", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    "route table": ("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    "secret": ("secretsmanager", "list_secrets", "SecretList", "Name"),
    "security group": ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    "subnet": ("ec2", "describe_subnets", "Subnets", "SubnetId"),
    "target group": ("elbv2", "describe_target_groups", "TargetGroups", "TargetGroupArn"),
}


def take_inventory(session: Session, *, records: Path | None = None) -> Inventory:
    """List everything in the account and region of a session, and the recorded resources in the folder `records`.

    Omitted is what cannot be removed: keys pending deletion, deleted stacks and gateways, policies managed by AWS.
    """
    found = {kind: frozenset(list_ids(session)) for kind, list_ids in LISTINGS.items()}
    if records is not None:
        found |= {kind: frozenset(ids) for kind, ids in Records(records).ids().items()}
    return found


def difference(before: Inventory, after: Inventory) -> dict[str, frozenset[str]]:
    """Return what `after` has and `before` did not have, by kind."""
    left = {kind: ids - before.get(kind, frozenset()) for kind, ids in after.items()}
    return {kind: ids for kind, ids in sorted(left.items()) if ids}


def describe(inventory: Inventory) -> str:
    """Return one line per kind: `security group: sg-1, sg-2`."""
    return "\n".join(f"{kind}: {', '.join(sorted(ids))}" for kind, ids in sorted(inventory.items()))


def _entries(session: Session, service: str, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    """Yield all entries of a listing, page by page where the operation has pages."""
    clients: Any = session
    client = clients.client(service)
    if client.can_paginate(operation):
        pages: Iterable[Mapping[str, Any]] = client.get_paginator(operation).paginate(**arguments)
    else:
        pages = [getattr(client, operation)(**arguments)]
    for page in pages:
        yield from page.get(key, ())


def _simple(service: str, operation: str, key: str, name: str | None) -> Callable[[Session], Iterable[str]]:
    def list_ids(session: Session) -> Iterable[str]:
        return (entry if name is None else entry[name] for entry in _entries(session, service, operation, key))

    return list_ids


def _alarms(session: Session) -> Iterable[str]:
    pages = session.client("cloudwatch").get_paginator("describe_alarms")
    for page in pages.paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"]):
        yield from (alarm["AlarmName"] for alarm in page["MetricAlarms"])
        yield from (alarm["AlarmName"] for alarm in page["CompositeAlarms"])


def _ecs_services(session: Session) -> Iterable[str]:
    for cluster in _entries(session, "ecs", "list_clusters", "clusterArns"):
        yield from _entries(session, "ecs", "list_services", "serviceArns", cluster=cluster)


def _images(session: Session) -> Iterable[str]:
    for repository in _entries(session, "ecr", "describe_repositories", "repositories"):
        name = repository["repositoryName"]
        for image in _entries(session, "ecr", "list_images", "imageIds", repositoryName=name):
            yield f"{name}:{image.get('imageTag') or image['imageDigest']}"


def _keys(session: Session) -> Iterable[str]:
    kms = session.client("kms")
    for key in _entries(session, "kms", "list_keys", "Keys"):
        metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if metadata["KeyManager"] == "CUSTOMER" and metadata["KeyState"] != "PendingDeletion":
            yield key["KeyId"]


def _log_policies(session: Session) -> Iterable[str]:
    for policy in _entries(session, "logs", "describe_resource_policies", "resourcePolicies"):
        yield policy["policyName"]


def _nat_gateways(session: Session) -> Iterable[str]:
    for gateway in _entries(session, "ec2", "describe_nat_gateways", "NatGateways"):
        if gateway["State"] != "deleted":
            yield gateway["NatGatewayId"]


def _policies(session: Session) -> Iterable[str]:
    return (policy["Arn"] for policy in _entries(session, "iam", "list_policies", "Policies", Scope="Local"))


def _objects(session: Session) -> Iterable[str]:
    for bucket in _entries(session, "s3", "list_buckets", "Buckets"):
        for entry in _entries(session, "s3", "list_object_versions", "Versions", Bucket=bucket["Name"]):
            yield f"{bucket['Name']}/{entry['Key']}"


def _stacks(session: Session) -> Iterable[str]:
    for stack in _entries(session, "cloudformation", "list_stacks", "StackSummaries"):
        if stack["StackStatus"] != "DELETE_COMPLETE":
            yield stack["StackName"]


def _task_definitions(session: Session) -> Iterable[str]:
    for status in ("ACTIVE", "INACTIVE"):
        yield from _entries(session, "ecs", "list_task_definitions", "taskDefinitionArns", status=status)


def _web_acls(session: Session) -> Iterable[str]:
    return (acl["Name"] for acl in session.client("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"])


#: Kind of resource to the function that lists its ids.
LISTINGS: Mapping[str, Callable[[Session], Iterable[str]]] = {
    **{kind: _simple(*listing) for kind, listing in _SIMPLE.items()},
    "CloudFormation stack": _stacks,
    "CloudWatch alarm": _alarms,
    "ECR image": _images,
    "ECS service": _ecs_services,
    "ECS task definition": _task_definitions,
    "IAM policy": _policies,
    "KMS key": _keys,
    "NAT gateway": _nat_gateways,
    "S3 object": _objects,
    "log resource policy": _log_policies,
    "web ACL": _web_acls,
}
