"""The policies: the required actions, each on the resources that it may affect, split to fit IAM's size limit.

Read actions are allowed on everything in the account: names are not secret, and many `Describe` actions do not support
resource-level permissions. Write actions are narrowed by our names (docs/decisions/0103-names.md) wherever the service
has names in its ARNs. IAM has nothing to narrow by for EC2 networking, keys and certificates, whose ARNs contain random
ids (a key's tags take effect only minutes after its creation), and for the actions in `UNSCOPED_ACTIONS`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any  # policy documents are untyped JSON

from pipeline.bootstrap.required_actions import all_required_actions

FOLDER = Path(__file__).parent
#: IAM's limit for a managed policy in characters; white space does not count.
POLICY_LIMIT = 6_144
#: Characters reserved in each policy for actions that AWS turns out to require: another policy would have to be
#: attached in every account.
HEADROOM = 1_000

_LOAD_BALANCER = "arn:aws:elasticloadbalancing:*:*:loadbalancer/app/alb-*/*"
#: Service to the ARNs of our own resources.
OWN_RESOURCES: Mapping[str, Sequence[str]] = {
    "cloudwatch": (
        "arn:aws:cloudwatch:*:*:alarm:alarm-*",
        "arn:aws:cloudwatch:*:*:alarm:TargetTracking-service/ecs-cluster-*",
        "arn:aws:cloudwatch::*:dashboard/dashboard-*",
    ),
    "codebuild": ("arn:aws:codebuild:*:*:project/project-*", "arn:aws:codebuild:*:*:report-group/reports-*"),
    "codepipeline": ("arn:aws:codepipeline:*:*:pipeline-*",),
    "ecs": (
        "arn:aws:ecs:*:*:cluster/ecs-cluster-*",
        "arn:aws:ecs:*:*:service/ecs-cluster-*/*",
        "arn:aws:ecs:*:*:service-deployment/ecs-cluster-*/*",
        "arn:aws:ecs:*:*:task-definition/ecs-task-*",
    ),
    "elasticloadbalancing": (
        _LOAD_BALANCER,
        "arn:aws:elasticloadbalancing:*:*:listener/app/alb-*/*",
        "arn:aws:elasticloadbalancing:*:*:listener-rule/app/alb-*/*",
        "arn:aws:elasticloadbalancing:*:*:targetgroup/tg-*/*",
    ),
    "events": ("arn:aws:events:*:*:rule/rule-*",),
    "iam": ("arn:aws:iam::*:role/role-*", "arn:aws:iam::*:policy/policy-*"),
    "lambda": ("arn:aws:lambda:*:*:function:function-*",),
    "logs": (
        "arn:aws:logs:*:*:log-group:*-logs-*",
        "arn:aws:logs:*:*:log-group:pipeline-builds-*",
        "arn:aws:logs:*:*:log-group:/aws/ecs/containerinsights/ecs-cluster-*",
        "arn:aws:logs:*:*:log-group:/aws/lambda/function-*",
        "arn:aws:logs:*:*:log-group:/aws/rds/cluster/aurora-cluster-*",
    ),
    "rds": (
        "arn:aws:rds:*:*:cluster:aurora-cluster-*",
        "arn:aws:rds:*:*:db:aurora-instance-*",
        "arn:aws:rds:*:*:cluster-pg:aurora-parameters-*",
        "arn:aws:rds:*:*:subgrp:db-subnet-group-*",
        "arn:aws:rds:*:*:og:default:*",  # AWS's own, which every cluster and instance is created with
        "arn:aws:rds:*:*:pg:default.*",
    ),
    "s3": ("arn:aws:s3:::alb-logs-*", "arn:aws:s3:::pipeline-artifacts-*"),
    "secretsmanager": (
        "arn:aws:secretsmanager:*:*:secret:db-*",
        "arn:aws:secretsmanager:*:*:secret:live-api-key-*",
        "arn:aws:secretsmanager:*:*:secret:processor-keys-*",
        "arn:aws:secretsmanager:*:*:secret:smoke-api-key-*",
    ),
    "sns": ("arn:aws:sns:*:*:alarm-topic-*", "arn:aws:sns:*:*:pipeline-topic-*"),
    "wafv2": (
        "arn:aws:wafv2:*:*:regional/webacl/waf-acl-*",
        "arn:aws:wafv2:*:*:regional/managedruleset/*",  # AWS's own rules, which the web ACL contains
        _LOAD_BALANCER,
    ),
}
#: Write actions without resource-level permissions (service authorization reference), or on random ids only.
UNSCOPED_ACTIONS = frozenset(
    {
        "ecs:CreateCluster",
        "ecs:DeregisterTaskDefinition",
        "ecs:RegisterTaskDefinition",
        "elasticloadbalancing:SetWebACL",
        "logs:CreateLogDelivery",
        "logs:DeleteIndexPolicy",
        "logs:DeleteLogDelivery",
        "logs:DeleteQueryDefinition",
        "logs:DeleteResourcePolicy",
        "logs:PutIndexPolicy",
        "logs:PutQueryDefinition",
        "logs:PutResourcePolicy",
        "sns:SetSubscriptionAttributes",
        "sns:Unsubscribe",
    }
)
#: Actions on other resources than the rest of their service.
ACTION_RESOURCES: Mapping[str, Sequence[str]] = {
    "codeconnections:PassConnection": ("arn:aws:codeconnections:*:*:connection/*",),
    "codestar-connections:PassConnection": ("arn:aws:codestar-connections:*:*:connection/*",),
    "iam:CreateServiceLinkedRole": ("arn:aws:iam::*:role/aws-service-role/*",),
    "iam:PassRole": ("arn:aws:iam::*:role/role-*", "arn:aws:iam::*:role/aws-service-role/*"),
    "s3:DeleteObject": ("arn:aws:s3:::alb-logs-*/*", "arn:aws:s3:::pipeline-artifacts-*/*"),
    "s3:GetObject": ("arn:aws:s3:::cdk-hnb659fds-assets-*/*",),
    "s3:GetObjectVersion": ("arn:aws:s3:::cdk-hnb659fds-assets-*/*",),
    "s3:PutObjectAcl": ("arn:aws:s3:::alb-logs-*/*", "arn:aws:s3:::pipeline-artifacts-*/*"),
    "ssm:GetParameters": ("arn:aws:ssm:*:*:parameter/cdk-bootstrap/hnb659fds/version",),
}
_LINKED_SERVICES = ("ecs", "ecs.application-autoscaling", "elasticloadbalancing", "rds", "wafv2")
#: Conditions of actions.
CONDITIONS: Mapping[str, Mapping[str, Any]] = {
    "iam:AttachRolePolicy": {"ArnLike": {"iam:PolicyARN": "arn:aws:iam::*:policy/policy-*"}},
    "iam:DetachRolePolicy": {"ArnLike": {"iam:PolicyARN": "arn:aws:iam::*:policy/policy-*"}},
    "iam:CreateServiceLinkedRole": {
        "StringEquals": {"iam:AWSServiceName": [f"{service}.amazonaws.com" for service in _LINKED_SERVICES]}
    },
}
#: Read actions that are narrowed all the same, because what they return is secret.
_SENSITIVE_READS = frozenset({"secretsmanager:GetSecretValue"})
_READ_PREFIXES = ("Describe", "Get", "List", "BatchGet")

Statement = Mapping[str, Any]


def write_policies(folder: Path = FOLDER) -> list[Path]:
    """Write `execution-policy-<n>.json` and return the paths."""
    for old in folder.glob("execution-policy-*.json"):
        old.unlink()
    paths = []
    for number, document in enumerate(documents(), start=1):
        path = folder / f"execution-policy-{number}.json"
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def documents() -> list[Mapping[str, Any]]:
    """Return as few policy documents as leave headroom in each, of about equal size."""
    ordered = sorted(statements(), key=_size, reverse=True)
    limit = POLICY_LIMIT - HEADROOM
    count = -(-_size(_document(ordered)) // limit)
    spread = _spread(ordered, count)
    while max(map(_size, spread)) > limit:
        count += 1
        spread = _spread(ordered, count)
    return spread


def _spread(ordered: Sequence[Statement], count: int) -> list[Mapping[str, Any]]:
    """Distribute the statements, largest first, each to the smallest document."""
    documents: list[list[Statement]] = [[] for _ in range(count)]
    for statement in ordered:
        min(documents, key=lambda one: _size(_document(one))).append(statement)
    return [_document(one) for one in documents]


def statements() -> Iterator[Statement]:
    """Yield one statement for each service and set of resources."""

    def scope(action: str) -> tuple[str, Sequence[str], str]:
        service = action.partition(":")[0]
        return service, resources_of(action), json.dumps(CONDITIONS.get(action, {}))

    for (_, resources, condition), actions in groupby(sorted(all_required_actions(), key=scope), key=scope):
        statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
        if condition != "{}":
            statement["Condition"] = json.loads(condition)
        yield statement


def resources_of(action: str) -> Sequence[str]:
    """Return the resources that an action may affect."""
    service, _, name = action.partition(":")
    if action in ACTION_RESOURCES:
        return ACTION_RESOURCES[action]
    reads = name.startswith(_READ_PREFIXES) and action not in _SENSITIVE_READS
    if reads or action in UNSCOPED_ACTIONS or service not in OWN_RESOURCES:
        return ("*",)
    return OWN_RESOURCES[service]


def _document(statements: Sequence[Statement]) -> Mapping[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _size(value: Mapping[str, Any]) -> int:
    return len(json.dumps(value, separators=(",", ":")))
