"""Permissions and network rules that a template adds to an earlier one of the same stack.

Why this is not `cdk diff`: docs/decisions/0211-permission-diff.md.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = Any  # a template is JSON of any shape

#: Properties that hold policy documents, by resource type.
_DOCUMENTS: Mapping[str, tuple[str, ...]] = {
    "AWS::EC2::VPCEndpoint": ("PolicyDocument",),
    "AWS::ECR::Repository": ("RepositoryPolicyText",),
    "AWS::IAM::ManagedPolicy": ("PolicyDocument",),
    "AWS::IAM::Policy": ("PolicyDocument",),
    "AWS::IAM::Role": ("AssumeRolePolicyDocument",),
    "AWS::KMS::Key": ("KeyPolicy",),
    "AWS::S3::BucketPolicy": ("PolicyDocument",),
    "AWS::SNS::TopicPolicy": ("PolicyDocument",),
    "AWS::SQS::QueuePolicy": ("PolicyDocument",),
    "AWS::SecretsManager::ResourcePolicy": ("ResourcePolicy",),
}
_CONDITION = " if "
_RULES = {"AWS::EC2::SecurityGroupIngress": "ingress", "AWS::EC2::SecurityGroupEgress": "egress"}


def broadened_permissions(before: Json, after: Json) -> list[str]:
    """Return the permissions that `after` grants in addition to those of `before`, one line each."""
    old, new = set(_permissions(before)), set(_permissions(after))
    lines = [
        f"{name}: {text}"
        for name, text in sorted(new - old)
        if not text.startswith("deny ") and (name, text.partition(_CONDITION)[0]) not in old  # a condition only narrows
    ]
    lines += [f"{name}: no longer {text}" for name, text in sorted(old - new) if text.startswith("deny ")]
    return lines


def added_network_rules(before: Json, after: Json) -> list[str]:
    """Return the network rules that `after` has and `before` does not, one line each."""
    return [f"{name}: {text}" for name, text in sorted(set(_network_rules(after)) - set(_network_rules(before)))]


def _permissions(template: Json) -> Iterator[tuple[str, str]]:
    for name, resource in template.get("Resources", {}).items():
        properties = resource.get("Properties", {})
        documents = [properties[key] for key in _DOCUMENTS.get(resource["Type"], ()) if key in properties]
        documents += [policy["PolicyDocument"] for policy in properties.get("Policies", ()) if _is_inline(policy)]
        for document in documents:
            for statement in _listed(document.get("Statement", ())):
                yield from ((name, text) for text in _texts(statement))
        for arn in properties.get("ManagedPolicyArns", ()):
            yield name, f"allow what {_short(arn)} allows"
        if resource["Type"] == "AWS::Lambda::Permission":
            who, what = properties.get("Principal"), properties.get("FunctionName")
            yield name, f"allow {_short(properties.get('Action'))} on {_short(what)} to {_short(who)}"


def _is_inline(policy: Json) -> bool:
    return isinstance(policy, Mapping) and "PolicyDocument" in policy


def _texts(statement: Mapping[str, Json]) -> Iterator[str]:
    """Yield the permissions of a statement: each is one action on one resource for one principal."""
    effect = str(statement.get("Effect", "Allow")).lower()
    condition = f"{_CONDITION}{_short(statement['Condition'])}" if statement.get("Condition") else ""
    if any(key.startswith("Not") for key in statement):  # an exclusion cannot be split up
        rest = {key: value for key, value in statement.items() if key not in ("Sid", "Effect", "Condition")}
        yield f"{effect} {_short(rest)}{condition}"
        return
    principals = _principals(statement.get("Principal"))
    for action in _listed(statement.get("Action", ())):
        for resource in _listed(statement.get("Resource", "this resource")):
            for principal in principals:
                yield f"{effect} {action} on {_short(resource)}{principal}{condition}"


def _principals(principal: Json) -> list[str]:
    if principal is None:
        return [""]
    if not isinstance(principal, Mapping):
        return [f" to {principal}"]
    return [f" to {_short(one)}" for kind in sorted(principal) for one in _listed(principal[kind])]


def _network_rules(template: Json) -> Iterator[tuple[str, str]]:
    for name, resource in template.get("Resources", {}).items():
        properties = resource.get("Properties", {})
        if resource["Type"] in _RULES:
            yield name, _rule(_RULES[resource["Type"]], properties)
        elif resource["Type"] == "AWS::EC2::SecurityGroup":
            for direction in ("Ingress", "Egress"):
                for rule in properties.get(f"SecurityGroup{direction}", ()):
                    yield name, _rule(direction.lower(), rule)
        elif resource["Type"] == "AWS::ElasticLoadBalancingV2::LoadBalancer":
            yield name, f"load balancer, {properties.get('Scheme', 'internet-facing')}"
        elif resource["Type"] == "AWS::RDS::DBInstance" and properties.get("PubliclyAccessible"):
            yield name, "publicly accessible database"


def _rule(direction: str, rule: Mapping[str, Json]) -> str:
    peers = ("CidrIp", "CidrIpv6", "SourceSecurityGroupId", "DestinationSecurityGroupId", "SourcePrefixListId",
             "DestinationPrefixListId")  # fmt: skip
    peer = next((_short(rule[key]) for key in peers if rule.get(key)), "anywhere")
    low, high = rule.get("FromPort", "any"), rule.get("ToPort", "any")
    ports = str(low) if low == high else f"{low}-{high}"
    protocol = "any protocol" if str(rule.get("IpProtocol")) == "-1" else rule.get("IpProtocol", "any protocol")
    group = f" of {_short(rule['GroupId'])}" if "GroupId" in rule else ""
    return f"{direction}{group} {'from' if direction == 'ingress' else 'to'} {peer} on {protocol} {ports}"


def _listed(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _short(value: Json) -> str:
    """Return a value on one line, with references written as in `Fn::Sub`."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        if set(value) == {"Ref"}:
            return f"${{{value['Ref']}}}"
        if set(value) == {"Fn::GetAtt"}:
            return f"${{{'.'.join(_listed(value['Fn::GetAtt']))}}}"
        if set(value) == {"Fn::Join"}:
            separator, parts = value["Fn::Join"]
            return str(separator).join(_short(part) for part in _listed(parts))
    return json.dumps(value, sort_keys=True)
