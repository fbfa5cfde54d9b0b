"""The ARNs of resources, also of those that do not exist yet.

A create is authorized for the ARN that the resource will have: the format of its type, its name (from the template, or
as CloudFormation generates it) and, where AWS adds a random id, a fixed one: a policy cannot know that id either.

Source of the formats: https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rehearsal.emulator.authorization.keys import key_arn
from rehearsal.emulator.core import ministack
from rehearsal.emulator.core.properties import Properties, value_at, values_at
from rehearsal.emulator.core.resource_schemas import service_reference

#: Replaces ids that AWS generates.
RANDOM_ID = "0a1b2c3d4e5f6a7b8"

#: Type to the property with its name, and the format of its ARN.
_FORMATS: Mapping[str, tuple[str, str]] = {
    "AWS::CloudWatch::Alarm": ("AlarmName", "arn:aws:cloudwatch:{region}:{account}:alarm:{name}"),
    "AWS::CloudWatch::Dashboard": ("DashboardName", "arn:aws:cloudwatch::{account}:dashboard/{name}"),
    "AWS::CodeBuild::Project": ("Name", "arn:aws:codebuild:{region}:{account}:project/{name}"),
    "AWS::CodeBuild::ReportGroup": ("Name", "arn:aws:codebuild:{region}:{account}:report-group/{name}"),
    "AWS::CodePipeline::Pipeline": ("Name", "arn:aws:codepipeline:{region}:{account}:{name}"),
    "AWS::ECR::Repository": ("RepositoryName", "arn:aws:ecr:{region}:{account}:repository/{name}"),
    "AWS::ECS::Cluster": ("ClusterName", "arn:aws:ecs:{region}:{account}:cluster/{name}"),
    "AWS::ECS::Service": ("ServiceName", "arn:aws:ecs:{region}:{account}:service/{cluster}/{name}"),
    "AWS::ECS::TaskDefinition": ("Family", "arn:aws:ecs:{region}:{account}:task-definition/{name}:1"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        "Name",
        "arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/{kind}/{name}/{random}",
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        "Name",
        "arn:aws:elasticloadbalancing:{region}:{account}:targetgroup/{name}/{random}",
    ),
    "AWS::Events::Rule": ("Name", "arn:aws:events:{region}:{account}:rule/{name}"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "arn:aws:iam::{account}:policy{path}{name}"),
    "AWS::IAM::Role": ("RoleName", "arn:aws:iam::{account}:role{path}{name}"),
    "AWS::KMS::Alias": ("AliasName", "arn:aws:kms:{region}:{account}:{name}"),
    "AWS::KMS::Key": ("KeyId", "arn:aws:kms:{region}:{account}:key/{name}"),
    "AWS::Lambda::Function": ("FunctionName", "arn:aws:lambda:{region}:{account}:function:{name}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "arn:aws:logs:{region}:{account}:log-group:{name}"),
    "AWS::RDS::DBCluster": ("DBClusterIdentifier", "arn:aws:rds:{region}:{account}:cluster:{name}"),
    "AWS::RDS::DBClusterParameterGroup": (
        "DBClusterParameterGroupName",
        "arn:aws:rds:{region}:{account}:cluster-pg:{name}",
    ),
    "AWS::RDS::DBInstance": ("DBInstanceIdentifier", "arn:aws:rds:{region}:{account}:db:{name}"),
    "AWS::RDS::DBSubnetGroup": ("DBSubnetGroupName", "arn:aws:rds:{region}:{account}:subgrp:{name}"),
    "AWS::S3::Bucket": ("BucketName", "arn:aws:s3:::{name}"),
    "AWS::S3::BucketPolicy": ("Bucket", "arn:aws:s3:::{name}"),
    "AWS::SNS::Topic": ("TopicName", "arn:aws:sns:{region}:{account}:{name}"),
    "AWS::SSM::Parameter": ("Name", "arn:aws:ssm:{region}:{account}:parameter/{name}"),
    "AWS::SecretsManager::Secret": ("Name", "arn:aws:secretsmanager:{region}:{account}:secret:{name}-AbCdEf"),
    "AWS::WAFv2::WebACL": ("Name", "arn:aws:wafv2:{region}:{account}:regional/webacl/{name}/{random}"),
}

#: Type to other resources of its actions: a property that names one, and the format of its ARN.
_RELATED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        ("ResourceId", "arn:aws:cloudwatch:{region}:{account}:alarm:TargetTracking-{value}-AlarmHigh-{random}"),
    ),
    "AWS::CertificateManager::Certificate": (
        ("DomainValidationOptions.*.HostedZoneId", "arn:aws:route53:::hostedzone/{value}"),
    ),
    "AWS::IAM::ManagedPolicy": (("Roles.*", "arn:aws:iam::{account}:role/{value}"),),
    "AWS::IAM::Policy": (("Roles.*", "arn:aws:iam::{account}:role/{value}"),),
    "AWS::Lambda::Function": (("Code.S3Bucket", "arn:aws:s3:::{value}/{Code.S3Key}"),),
    "AWS::Lambda::Permission": (("FunctionName", "arn:aws:lambda:{region}:{account}:function:{value}"),),
    "AWS::RDS::DBCluster": (
        ("DBClusterParameterGroupName", "arn:aws:rds:{region}:{account}:cluster-pg:{value}"),
        ("DBSubnetGroupName", "arn:aws:rds:{region}:{account}:subgrp:{value}"),
        ("Engine", "arn:aws:rds:{region}:{account}:og:default:{value}"),
    ),
    "AWS::RDS::DBInstance": (
        ("DBClusterIdentifier", "arn:aws:rds:{region}:{account}:cluster:{value}"),
        ("DBParameterGroupName", "arn:aws:rds:{region}:{account}:pg:{value}"),
        ("DBSubnetGroupName", "arn:aws:rds:{region}:{account}:subgrp:{value}"),
        ("Engine", "arn:aws:rds:{region}:{account}:og:default:{value}"),
        ("Engine", "arn:aws:rds:{region}:{account}:pg:default.{value}"),
    ),
    "AWS::Route53::RecordSet": (("HostedZoneId", "arn:aws:route53:::hostedzone/{value}"),),
    "AWS::S3::Bucket": (("BucketName", "arn:aws:s3:::{value}/{random}"),),
    "AWS::WAFv2::WebACL": (
        (
            "Rules.*.Statement.ManagedRuleGroupStatement.Name",
            "arn:aws:wafv2:{region}:{account}:regional/managedruleset/{value}/{random}",
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class ResourceArns:
    """The ARNs that an operation on a resource may be about."""

    #: The ARN of the resource; None for types without one, such as attachments.
    own: str | None
    #: ARNs of other resources of its actions.
    related: tuple[str, ...] = ()
    #: ARNs in its properties.
    referred: tuple[str, ...] = field(default=())

    def for_action(self, action: str) -> list[str]:
        """Return the ARNs of a type that an action takes: own and related ones, or else those in the properties.

        For an action without resource types `*`; nothing when no ARN fits.
        """
        formats = arn_formats(action)
        if not formats:
            return ["*"]
        for known in ((*([self.own] if self.own else ()), *self.related), self.referred):
            fitting = [arn for arn in known if any(pattern.fullmatch(arn) for pattern, _ in formats)]
            if fitting:
                return list(dict.fromkeys(fitting))
        return []


def arns_of(
    type_name: str, properties: Properties, *, name: str, referred: tuple[str, ...], resource_id: str | None = None
) -> ResourceArns:
    """Return the ARNs of a resource.

    Args:
        type_name: Its type.
        properties: Its properties.
        name: Its name, if neither the properties nor `resource_id` have it.
        referred: The ARNs in its properties.
        resource_id: Its physical id, once it exists.

    """
    own = own_arn(type_name, properties, name=name, resource_id=resource_id)
    return ResourceArns(own=own, related=tuple(_related(type_name, properties)), referred=referred)


def own_arn(
    type_name: str, properties: Properties, *, name: str = RANDOM_ID, resource_id: str | None = None
) -> str | None:
    """Return the ARN of a resource; None for a type without one.

    A physical id may be the ARN, the name, or a combination (`<web ACL>|<load balancer>`), so that the name in the
    properties has precedence.
    """
    if resource_id and resource_id.startswith("arn:") and "|" not in resource_id:
        return resource_id
    if type_name in _FORMATS:
        name_property, template = _FORMATS[type_name]
        return _filled(template, properties, name=value_at(properties, name_property) or resource_id or name)
    return _listener(type_name, properties)


def is_action(action: str) -> bool:
    """Return whether the service authorization reference has an action."""
    service, _, name = action.partition(":")
    return name.lower() in service_reference().get(service, {}).get("Actions", {})


def any_of_its_kind(action: str, patterns: Iterable[str]) -> list[str]:
    """Return ARNs that an action may be about when its resource is not known.

    Args:
        action: The action.
        patterns: The resources of the caller's statements, since a policy that allows the action for some names must
            not be refused because of a name that was invented here. The last ARN is one that only `*` allows.

    """
    formats = arn_formats(action)
    candidates = [arn for arn in map(_instance, patterns) if any(pattern.fullmatch(arn) for pattern, _ in formats)]
    return list(dict.fromkeys([*candidates, formats[0][1]]))


def _instance(pattern: str) -> str:
    """Return an ARN in this account and region that a pattern of a policy matches."""
    parts = pattern.split(":", 5)
    if len(parts) == 6:
        parts[3] = ministack.region() if parts[3] == "*" else parts[3]
        parts[4] = ministack.account_id() if parts[4] == "*" else parts[4]
    return ":".join(parts).replace("*", RANDOM_ID)


def arn_formats(action: str) -> list[tuple[re.Pattern[str], str]]:
    """Return, for each resource type of an action, a pattern of its ARNs and an example."""
    service, _, name = action.partition(":")
    reference = service_reference().get(service, {})
    kinds = reference.get("Actions", {}).get(name.lower(), {}).get("Resources", ())
    resources = {kind.lower(): entry for kind, entry in reference.get("Resources", {}).items()}
    if service == "s3":
        resources |= _S3
    formats = [text for kind in kinds for text in resources.get(kind.lower(), {}).get("ARNFormats", ())]
    return [(_pattern(text), _example(text)) for text in formats]


#: The formats of the reference do not distinguish objects from buckets.
_S3: Mapping[str, Mapping[str, Sequence[str]]] = {
    "bucket": {"ARNFormats": ("arn:${Partition}:s3:::[^/]+",)},
    "object": {"ARNFormats": ("arn:${Partition}:s3:::[^/]+/.*",)},
}
_VARIABLE = re.compile(r"\$\{\w+\}")


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(_VARIABLE.sub("[^:]*", text))


def _example(text: str) -> str:
    values = {"${Partition}": "aws", "${Region}": ministack.region(), "${Account}": ministack.account_id()}
    for variable, value in values.items():
        text = text.replace(variable, value)
    return _VARIABLE.sub(RANDOM_ID, text).replace("[^/]+", RANDOM_ID).replace(".*", RANDOM_ID)


def _related(type_name: str, properties: Properties) -> Iterator[str]:
    for path, template in _RELATED.get(type_name, ()):
        for value in values_at(properties, path):
            yield value if value.startswith("arn:") else _filled(template, properties, value=value)
    if type_name == "AWS::KMS::Alias" and (target := value_at(properties, "TargetKeyId")):
        yield key_arn(target)


def _listener(type_name: str, properties: Properties) -> str | None:
    """Return the ARN of a listener or listener rule, which begins like that of its parent."""
    parent = {
        "AWS::ElasticLoadBalancingV2::Listener": ("LoadBalancerArn", ":loadbalancer/", ":listener/"),
        "AWS::ElasticLoadBalancingV2::ListenerRule": ("ListenerArn", ":listener/", ":listener-rule/"),
    }.get(type_name)
    if parent is None or (arn := value_at(properties, parent[0])) is None:
        return None
    return f"{arn.replace(parent[1], parent[2])}/{RANDOM_ID}"


def _filled(template: str, properties: Properties, **values: str) -> str:
    known = {
        "region": ministack.region(),
        "account": ministack.account_id(),
        "random": RANDOM_ID,
        "path": value_at(properties, "Path") or "/",
        "cluster": (value_at(properties, "Cluster") or "default").rsplit("/", 1)[-1],
        "kind": {"network": "net", "gateway": "gwy"}.get(value_at(properties, "Type") or "", "app"),
        "Code.S3Key": value_at(properties, "Code.S3Key") or RANDOM_ID,
        **values,
    }
    return re.sub(r"\{([\w.]+)\}", lambda match: known[match[1]], template)
