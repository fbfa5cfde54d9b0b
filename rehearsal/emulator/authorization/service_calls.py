"""Calls that AWS services make in their own name because of a resource: they publish, invoke and write logs.

Some are made when the resource is created, so that a denial fails the resource. The others are made for the first time
when something happens: an alarm that may not publish to its topic stays silent. These are authorized on request, since
a stack may create the policy that allows them after the resource.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import AccessDeniedError, Call, ContextValue
from rehearsal.emulator.authorization.load_balancer_logs import access_log_principals
from rehearsal.emulator.authorization.passed_roles import SERVICE_LINKED, passed_roles
from rehearsal.emulator.authorization.resource_arns import RANDOM_ID
from rehearsal.emulator.core import ministack
from rehearsal.emulator.core.properties import Properties, value_at, values_at

_BY = "service"


@dataclass(frozen=True, kw_only=True)
class DeployedResource:
    """A resource that causes calls; `arn` is None for types without one."""

    type_name: str
    properties: Properties
    arn: str | None


def require_at_creation(authority: Authority, resource: DeployedResource) -> None:
    """Authorize the calls of services when a resource is created or updated.

    Raises:
        AccessDeniedError: A call is denied.
    """
    for call in calls_at_creation(resource):
        authority.require(call, by=_BY)
    _require_access_logs(authority, resource)


def calls_at_creation(resource: DeployedResource) -> Iterator[Call]:
    """Yield the calls at creation, without which AWS refuses the resource."""
    for role in passed_roles(resource.type_name, resource.properties):
        if role.at_creation and role.service and SERVICE_LINKED not in role.role:
            yield _assumption(role.service, role.role, resource)


def later_calls(resource: DeployedResource) -> Iterator[Call]:
    """Yield the calls that a resource causes later, when something happens."""
    for role in passed_roles(resource.type_name, resource.properties):
        if not role.at_creation and role.service and SERVICE_LINKED not in role.role:
            yield _assumption(role.service, role.role, resource)
    later = _LATER.get(resource.type_name)
    if later:
        yield from later(resource)


class DeferredServiceCalls:
    """The later calls of all resources that exist."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, str, str], tuple[Call, ...]] = {}

    def remember(self, resource: DeployedResource, resource_id: str) -> None:
        """Add a resource that was created or updated."""
        calls = tuple(later_calls(resource))
        with self._lock:
            self._calls.pop(_key(resource.type_name, resource_id), None)
            if calls:
                self._calls[_key(resource.type_name, resource_id)] = calls

    def forget(self, type_name: str, resource_id: str) -> None:
        """Remove a resource that was deleted."""
        with self._lock:
            self._calls.pop(_key(type_name, resource_id), None)

    def denials(self) -> list[str]:
        """Authorize every call; return a message for each one that is denied."""
        with self._lock:
            pending = [
                (region, type_name, call) for (region, type_name, _), calls in self._calls.items() for call in calls
            ]
        denials = []
        for region, type_name, call in pending:
            with ministack.in_region(region):
                decision = self._authority.decide(call, by=_BY)
            if not decision.allowed:
                denied = AccessDeniedError(decision)
                denials.append(f"{type_name}: {denied} On AWS the deployment would not reveal this.")
        return denials


def _key(type_name: str, resource_id: str) -> tuple[str, str, str]:
    return ministack.region(), type_name, resource_id


def _assumption(service: str, role: str, resource: DeployedResource) -> Call:
    return Call(principal=service, action="sts:AssumeRole", resource=role, context=_source(resource))


def _source(resource: DeployedResource) -> Mapping[str, ContextValue]:
    """Return the condition keys of the source of a call."""
    source = {"aws:SourceAccount": ministack.account_id()}
    return source | ({"aws:SourceArn": resource.arn} if resource.arn else {})


def _calls_to(service: str, *paths: str) -> Callable[[DeployedResource], Iterator[Call]]:
    """Return a function that yields a service's calls to the targets at some paths."""

    def calls(resource: DeployedResource) -> Iterator[Call]:
        for path in paths:
            for target in values_at(resource.properties, path):
                yield from _call_to(service, target, resource)

    return calls


#: Service of a target to the action on it; other targets are called with a role.
_TARGET_ACTIONS: Mapping[str, str] = {
    "lambda": "lambda:InvokeFunction",
    "sns": "sns:Publish",
}


def _call_to(principal: str, target: str, resource: DeployedResource) -> Iterator[Call]:
    action = _TARGET_ACTIONS.get(target.split(":")[2]) if target.startswith("arn:") else None
    if action:
        context = _source(resource) if not principal.startswith("arn:") else {}
        yield Call(principal=principal, action=action, resource=target, context=context)


def _function_logs(resource: DeployedResource) -> Iterator[Call]:
    """Yield the calls of a function that writes its log as its role.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
    """
    role, name = value_at(resource.properties, "Role"), (resource.arn or "").rsplit(":", 1)[-1]
    group = value_at(resource.properties, "LoggingConfig.LogGroup") or f"/aws/lambda/{name}"
    if role:
        yield from _log_calls(role, group)


def _flow_log(resource: DeployedResource) -> Iterator[Call]:
    """Yield the calls of a flow log, which is written by its role.

    Source: https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
    """
    role = value_at(resource.properties, "DeliverLogsPermissionArn")
    group = value_at(resource.properties, "LogGroupName")
    if role and group:
        yield from _log_calls(role, group)


def _log_calls(role: str, group: str) -> Iterator[Call]:
    arn = f"arn:aws:logs:{ministack.region()}:{ministack.account_id()}:log-group:{group}:log-stream:{RANDOM_ID}"
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        yield Call(principal=role, action=action, resource=arn)


def _web_acl_log(resource: DeployedResource) -> Iterator[Call]:
    """Yield the calls of the log delivery service, which writes the log of a web ACL.

    Without a policy that allows them AWS creates one, which belongs to no stack and is never deleted.
    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-and-resource-policy.html
    """
    for destination in values_at(resource.properties, "LogDestinationConfigs.*"):
        if ":log-group:" not in destination:
            continue
        source = {
            "aws:SourceAccount": ministack.account_id(),
            "aws:SourceArn": f"arn:aws:logs:{ministack.region()}:{ministack.account_id()}:*",
        }
        stream = f"{destination.removesuffix(':*')}:log-stream:{RANDOM_ID}"
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            yield Call(principal="delivery.logs.amazonaws.com", action=action, resource=stream, context=source)


def _require_access_logs(authority: Authority, resource: DeployedResource) -> None:
    """Authorize a load balancer's test of its access log bucket, for one of the principals that AWS uses.

    Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
    """
    if not resource.type_name.endswith("::LoadBalancer"):
        return
    attributes = resource.properties.get("LoadBalancerAttributes") or ()
    values = {item["Key"]: str(item["Value"]) for item in attributes}
    if values.get("access_logs.s3.enabled") != "true":
        return
    prefix = values.get("access_logs.s3.prefix", "").strip("/")
    key = f"{prefix}/" if prefix else ""
    folder = f"{values.get('access_logs.s3.bucket', '')}/{key}AWSLogs/{ministack.account_id()}"
    authority.require_any(
        [
            Call(
                principal=principal,
                action="s3:PutObject",
                resource=f"arn:aws:s3:::{folder}/ELBAccessLogTestFile",
                context=_source(resource),
            )
            for principal in access_log_principals(ministack.region())
        ],
        by=_BY,
    )


_LATER: Mapping[str, Callable[[DeployedResource], Iterator[Call]]] = {
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
    "AWS::CloudWatch::Alarm": _calls_to(
        "cloudwatch.amazonaws.com", "AlarmActions.*", "OKActions.*", "InsufficientDataActions.*"
    ),
    "AWS::EC2::FlowLog": _flow_log,
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    "AWS::Events::Rule": _calls_to("events.amazonaws.com", "Targets.*.Arn"),
    "AWS::Lambda::Function": _function_logs,
    "AWS::WAFv2::LoggingConfiguration": _web_acl_log,
}
