"""The policies: the needed actions, each on what it may touch, split to IAM's size limit.

Reading is allowed everywhere in the account: names of things are no secret, and many a `Describe` takes no resource.
What changes something is narrowed by our names (docs/decisions/0103-names.md) wherever the service's names are in its
ARNs. Not narrowed, because IAM has nothing to narrow by: EC2 networking, keys and certificates, whose ARNs are made of
random ids (a key's tags count only minutes after its creation), and the actions of `UNSCOPED`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.bootstrap.needs import needed_actions

FOLDER = Path(__file__).parent
#: IAM's limit for a managed policy; white space does not count.
POLICY_CHARACTERS = 6_144
#: Room that each policy keeps, so that what AWS turns out to ask for besides goes into the policies that there are: a
#: further policy would have to be attached in every account.
HEADROOM_CHARACTERS = 1_000

_LOAD_BALANCER = "arn:aws:elasticloadbalancing:*:*:loadbalancer/app/alb-*/*"
#: By service: the ARNs of what is ours.
OURS: Mapping[str, Sequence[str]] = {
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
        "arn:aws:rds:*:*:og:default:*",  # AWS's own, which every cluster and instance is made with
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
        "arn:aws:wafv2:*:*:regional/managedruleset/*",  # AWS's own rules, which the web ACL holds
        _LOAD_BALANCER,
    ),
}
#: Actions that change something and take no resource (service authorization reference), or only one made of random ids.
UNSCOPED = frozenset(
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
#: Actions on other things than the rest of their service.
ELSEWHERE: Mapping[str, Sequence[str]] = {
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
_SERVICES = ("ecs", "ecs.application-autoscaling", "elasticloadbalancing", "rds", "wafv2")
#: Conditions, where an action has one.
CONDITIONS: Mapping[str, Mapping[str, Any]] = {
    "iam:AttachRolePolicy": {"ArnLike": {"iam:PolicyARN": "arn:aws:iam::*:policy/policy-*"}},
    "iam:DetachRolePolicy": {"ArnLike": {"iam:PolicyARN": "arn:aws:iam::*:policy/policy-*"}},
    "iam:CreateServiceLinkedRole": {
        "StringEquals": {"iam:AWSServiceName": [f"{service}.amazonaws.com" for service in _SERVICES]}
    },
}
#: Reading that is narrowed all the same: what it reads is worth keeping.
_VALUABLE = frozenset({"secretsmanager:GetSecretValue"})
_READING = ("Describe", "Get", "List", "BatchGet")

Statement = Mapping[str, Any]


def write_policies(folder: Path = FOLDER) -> list[Path]:
    """Write `execution-policy-<n>.json` and answer the paths."""
    for old in folder.glob("execution-policy-*.json"):
        old.unlink()
    paths = []
    for number, document in enumerate(documents(), start=1):
        path = folder / f"execution-policy-{number}.json"
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def documents() -> list[Mapping[str, Any]]:
    """As few policy documents as leave some room in each, all about equally full."""
    ordered = sorted(statements(), key=_size, reverse=True)
    room = POLICY_CHARACTERS - HEADROOM_CHARACTERS
    count = -(-_size(_document(ordered)) // room)
    spread = _spread(ordered, count)
    while max(map(_size, spread)) > room:
        count += 1
        spread = _spread(ordered, count)
    return spread


def _spread(ordered: Sequence[Statement], count: int) -> list[Mapping[str, Any]]:
    """The statements, largest first, each into the document that is the least full."""
    filled: list[list[Statement]] = [[] for _ in range(count)]
    for statement in ordered:
        min(filled, key=lambda one: _size(_document(one))).append(statement)
    return [_document(one) for one in filled]


def statements() -> Iterator[Statement]:
    """One statement for each service and what its actions may touch."""

    def where(action: str) -> tuple[str, Sequence[str], str]:
        service = action.partition(":")[0]
        return service, resources_of(action), json.dumps(CONDITIONS.get(action, {}))

    for (_, resources, condition), actions in groupby(sorted(needed_actions(), key=where), key=where):
        statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
        if condition != "{}":
            statement["Condition"] = json.loads(condition)
        yield statement


def resources_of(action: str) -> Sequence[str]:
    """What an action may touch."""
    service, _, name = action.partition(":")
    if action in ELSEWHERE:
        return ELSEWHERE[action]
    reads = name.startswith(_READING) and action not in _VALUABLE
    if reads or action in UNSCOPED or service not in OURS:
        return ("*",)
    return OURS[service]


def _document(statements: Sequence[Statement]) -> Mapping[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _size(value: Mapping[str, Any]) -> int:
    return len(json.dumps(value, separators=(",", ":")))
