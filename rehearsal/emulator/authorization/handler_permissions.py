"""The actions that CloudFormation needs for an operation on a resource.

The resource schemas list, for each handler, all actions that a type may need. All of them are authorized, and those of
the read handler (CloudFormation reads a resource after it has created or updated it), except:

* an action of a service other than the type's, unless a property has an ARN of that service (or `_FOREIGN` applies);
  CloudWatch, EC2, IAM and Logs, whose resources are referred to by ids and names, are always included;
* the actions in `_CONDITIONS`, unless their property is set;
* names that the service authorization reference does not know (`s3:REST.PUT.OBJECT`).

Sources: https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html (`handlers`,
`tagging`) and the schemas themselves.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from rehearsal.emulator.authorization.resource_arns import is_action
from rehearsal.emulator.core.properties import Properties, arns_in, has, service_of
from rehearsal.emulator.core.resource_schemas import schema_of

Condition = Callable[[Properties], bool]

#: Types of custom resources.
CUSTOM = ("Custom::", "AWS::CloudFormation::CustomResource")

#: The new and the old prefix of connections; the schemas have only the old one.
CONNECTIONS = frozenset({"codeconnections", "codestar-connections"})

#: The service in a type name to its IAM prefix, where that is not the same in lower case.
_OWN_SERVICES: Mapping[str, str] = {
    "ApplicationAutoScaling": "application-autoscaling",
    "CertificateManager": "acm",
    "CodeStarNotifications": "codestar-notifications",
    "ElasticLoadBalancingV2": "elasticloadbalancing",
}

_ALWAYS_RELEVANT = frozenset({"cloudwatch", "ec2", "iam", "logs"})

_MISSING_SCHEMAS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "AWS::CodeBuild::Project": {  # not in the registry, so that its schema has no handlers
        "create": ("codebuild:CreateProject", "codebuild:BatchGetProjects", "iam:PassRole"),
        "update": ("codebuild:UpdateProject", "codebuild:BatchGetProjects", "iam:PassRole"),
        "delete": ("codebuild:DeleteProject",),
    },
}

#: Actions that AWS requires and no schema lists.
_UNNAMED: Mapping[str, Mapping[str, Sequence[str]]] = {
    # kubernetes-sigs/aws-load-balancer-controller#3917
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"create": ("ec2:GetSecurityGroupsForVpc",)},
}


def _with(*paths: str) -> Condition:
    return lambda properties: any(has(properties, path) for path in paths)


def _never(_properties: Properties) -> bool:
    return False


#: Action to the condition under which it is needed.
_CONDITIONS: Mapping[str, Condition] = {
    "ec2:AcceptAddressTransfer": _with("TransferAddress"),
    "ecs:PutAccountSetting": _never,  # a setting of the account, not of a cluster
    "ecs:PutAccountSettingDefault": _never,
    "iam:AttachGroupPolicy": _with("Groups"),
    "iam:AttachRolePolicy": _with("ManagedPolicyArns", "Roles"),
    "iam:AttachUserPolicy": _with("Users"),
    "iam:DeleteRolePermissionsBoundary": _with("PermissionsBoundary"),
    "iam:DeleteRolePolicy": _with("Policies"),
    "iam:DetachGroupPolicy": _with("Groups"),
    "iam:DetachRolePolicy": _with("ManagedPolicyArns", "Roles"),
    "iam:DetachUserPolicy": _with("Users"),
    "iam:PutRolePermissionsBoundary": _with("PermissionsBoundary"),
    "iam:PutRolePolicy": _with("Policies"),
    "lambda:PassCapacityProvider": _with("CapacityProviderConfig"),
    "rds:AddRoleToDBCluster": _with("AssociatedRoles"),
    "rds:AddRoleToDBInstance": _with("AssociatedRoles"),
    "rds:RemoveRoleFromDBCluster": _with("AssociatedRoles"),
    "rds:RemoveRoleFromDBInstance": _with("AssociatedRoles"),
    "s3:PutReplicationConfiguration": _with("ReplicationConfiguration"),
    "secretsmanager:ReplicateSecretToRegions": _with("ReplicaRegions"),
    "sns:PutDataProtectionPolicy": _with("DataProtectionPolicy"),
}


def _with_connection(properties: Properties) -> bool:
    return any(service_of(arn) in CONNECTIONS for arn in arns_in(properties))


#: Type and another service to the condition under which its actions are needed, where no property has an ARN.
_FOREIGN: Mapping[tuple[str, str], Condition] = {
    ("AWS::CertificateManager::Certificate", "route53"): _with("DomainValidationOptions"),
    ("AWS::CodePipeline::Pipeline", "codestar-connections"): _with_connection,
    ("AWS::Lambda::Function", "s3"): _with("Code.S3Bucket"),
    ("AWS::RDS::DBCluster", "secretsmanager"): _with("ManageMasterUserPassword"),
    ("AWS::RDS::DBInstance", "secretsmanager"): _with("ManageMasterUserPassword"),
}


def needed_actions(
    type_name: str, operation: str, properties: Properties, *, before: Properties | None = None
) -> list[str]:
    """Return the actions for an operation (`create`, `update`, `delete`); `before` has an update's old properties."""
    if type_name.startswith(CUSTOM):
        return ["lambda:InvokeFunction"]
    both = {**(before or {}), **properties}
    named = dict.fromkeys(_named(type_name, operation, both))
    return [action for action in named if _is_needed(type_name, action, both)]


def _named(type_name: str, operation: str, properties: Properties) -> Iterator[str]:
    yield from _MISSING_SCHEMAS.get(type_name, {}).get(operation, ())
    yield from _UNNAMED.get(type_name, {}).get(operation, ())
    schema = schema_of(type_name)
    handlers = schema.get("handlers", {})
    yield from handlers.get(operation, {}).get("permissions", ())
    if operation != "delete":
        yield from handlers.get("read", {}).get("permissions", ())
    tagging = schema.get("tagging", {})
    if operation == "update" and has(properties, "Tags"):
        yield from tagging.get("permissions", ())


def _is_needed(type_name: str, action: str, properties: Properties) -> bool:
    if not is_action(action):
        return False
    condition = _CONDITIONS.get(action)
    if condition is not None:
        return condition(properties)
    service, _, name = action.partition(":")
    if "VerifiedAccess" in name:
        return any("verified-access" in arn for arn in arns_in(properties))
    if service == _own_service(type_name):
        return True
    return _foreign(type_name, service, properties)


def _foreign(type_name: str, service: str, properties: Properties) -> bool:
    """Return whether a resource uses a service other than that of its type."""
    if service in _ALWAYS_RELEVANT:
        return True
    condition = _FOREIGN.get((type_name, service))
    if condition is not None:
        return condition(properties)
    return any(service_of(arn) == service for arn in arns_in(properties))


def _own_service(type_name: str) -> str:
    middle = type_name.split("::")[1]
    return _OWN_SERVICES.get(middle, middle.lower())
