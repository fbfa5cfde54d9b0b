"""What services do with a resource in their own name, long after it was made: publish, invoke, write logs.

Two moments. `checked_at_creation` are calls that AWS itself tries when the resource is made, so that a denial fails
the resource. `later_calls` are those that AWS tries for the first time when something happens: an alarm that cannot
reach its topic is silent there. They are remembered, and decided when the rehearsal asks (`DeferredDeliveries`), since
a stack may make the policy that allows one after the resource that needs it.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rehearsal.emulator import backend
from rehearsal.emulator.authorization.authority import Authority
from rehearsal.emulator.authorization.calls import AccessDeniedError, Call, ContextValue
from rehearsal.emulator.authorization.load_balancer_logs import access_log_principals
from rehearsal.emulator.authorization.passed_roles import SERVICE_LINKED, passed_roles
from rehearsal.emulator.authorization.properties import Properties, value_at, values_at
from rehearsal.emulator.authorization.resource_arns import RANDOM_ID

_BY = "service"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A resource that causes deliveries; `arn` is its own, where its type has one."""

    type_name: str
    properties: Properties
    arn: str | None


def require_at_creation(authority: Authority, made: Made) -> None:
    """Decide what AWS tries when it makes or changes a resource.

    Raises:
        AccessDeniedError: a service may not do its part.
    """
    for call in checked_at_creation(made):
        authority.require(call, by=_BY)
    _require_access_logs(authority, made)


def checked_at_creation(made: Made) -> Iterator[Call]:
    """Yield the calls of services without which AWS refuses the resource."""
    for role in passed_roles(made.type_name, made.properties):
        if role.at_creation and role.service and SERVICE_LINKED not in role.role:
            yield _assumption(role.service, role.role, made)
    at_creation = _AT_CREATION.get(made.type_name)
    if at_creation:
        yield from at_creation(made)


def later_calls(made: Made) -> Iterator[Call]:
    """Yield the calls that a resource brings about when something happens."""
    for role in passed_roles(made.type_name, made.properties):
        if not role.at_creation and role.service and SERVICE_LINKED not in role.role:
            yield _assumption(role.service, role.role, made)
    later = _LATER.get(made.type_name)
    if later:
        yield from later(made)


class DeferredDeliveries:
    """The deliveries of everything that stands in the account at this moment."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, str, str], tuple[Call, ...]] = {}

    def remember(self, made: Made, resource_id: str) -> None:
        """Take in a resource that was made or changed."""
        calls = tuple(later_calls(made))
        with self._lock:
            self._calls.pop(_key(made.type_name, resource_id), None)
            if calls:
                self._calls[_key(made.type_name, resource_id)] = calls

    def forget(self, type_name: str, resource_id: str) -> None:
        """Take out a resource that was deleted."""
        with self._lock:
            self._calls.pop(_key(type_name, resource_id), None)

    def denials(self) -> list[str]:
        """Decide every delivery, and return what is denied: one text for each."""
        with self._lock:
            standing = [
                (region, type_name, call) for (region, type_name, _), calls in self._calls.items() for call in calls
            ]
        found = []
        for region, type_name, call in standing:
            with backend.in_region(region):
                decision = self._authority.decide(call, by=_BY)
            if not decision.allowed:
                found.append(f"{type_name}: {AccessDeniedError(decision)} On AWS the deployment would not show this.")
        return found


def _key(type_name: str, resource_id: str) -> tuple[str, str, str]:
    return backend.region(), type_name, resource_id


def _assumption(service: str, role: str, made: Made) -> Call:
    return Call(principal=service, action="sts:AssumeRole", resource=role, context=_source(made))


def _source(made: Made) -> Mapping[str, ContextValue]:
    """Return what a service says about whom it works for."""
    source = {"aws:SourceAccount": backend.account_id()}
    return source | ({"aws:SourceArn": made.arn} if made.arn else {})


def _publishing(service: str, *paths: str) -> Callable[[Made], Iterator[Call]]:
    """Return who publishes to the topics (or calls the functions) at some paths."""

    def calls(made: Made) -> Iterator[Call]:
        for path in paths:
            for target in values_at(made.properties, path):
                yield from _use_of(service, target, made)

    return calls


_TARGET_ACTIONS: Mapping[str, str] = {
    "lambda": "lambda:InvokeFunction",
    "sns": "sns:Publish",
    "sqs": "sqs:SendMessage",
}
"""Service of a target -> what is done with it; other targets are reached by a role."""


def _use_of(principal: str, target: str, made: Made) -> Iterator[Call]:
    action = _TARGET_ACTIONS.get(target.split(":")[2]) if target.startswith("arn:") else None
    if action:
        context = _source(made) if not principal.startswith("arn:") else {}
        yield Call(principal=principal, action=action, resource=target, context=context)


def _subscription(made: Made) -> Iterator[Call]:
    """A topic calls a function, or fills a queue.

    Source: https://docs.aws.amazon.com/sns/latest/dg/sns-lambda-as-subscriber.html
    """
    endpoint, topic = value_at(made.properties, "Endpoint") or "", value_at(made.properties, "TopicArn")
    yield from _use_of("sns.amazonaws.com", endpoint, Made(type_name=made.type_name, properties={}, arn=topic))


def _function_logs(made: Made) -> Iterator[Call]:
    """A function writes its log as its own role.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
    """
    role, name = value_at(made.properties, "Role"), (made.arn or "").rsplit(":", 1)[-1]
    group = value_at(made.properties, "LoggingConfig.LogGroup") or f"/aws/lambda/{name}"
    if role:
        yield from _writes_log(role, group)
    for target in values_at(made.properties, "DeadLetterConfig.TargetArn"):
        yield from _use_of(role or "", target, made)


def _flow_log(made: Made) -> Iterator[Call]:
    """Flow logs are written by the role that they were given.

    Source: https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
    """
    role, group = value_at(made.properties, "DeliverLogsPermissionArn"), value_at(made.properties, "LogGroupName")
    if role and group:
        yield from _writes_log(role, group)


def _writes_log(role: str, group: str) -> Iterator[Call]:
    arn = f"arn:aws:logs:{backend.region()}:{backend.account_id()}:log-group:{group}:log-stream:{RANDOM_ID}"
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        yield Call(principal=role, action=action, resource=arn)


def _firewall_log(made: Made) -> Iterator[Call]:
    """The log delivery service writes a web ACL's log.

    AWS would make a policy of its own where none allows it; no stack owns that one, and nothing deletes it.
    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-and-resource-policy.html
    """
    for destination in values_at(made.properties, "LogDestinationConfigs.*"):
        if ":log-group:" not in destination:
            continue
        source = {
            "aws:SourceAccount": backend.account_id(),
            "aws:SourceArn": f"arn:aws:logs:{backend.region()}:{backend.account_id()}:*",
        }
        stream = f"{destination.removesuffix(':*')}:log-stream:{RANDOM_ID}"
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            yield Call(principal="delivery.logs.amazonaws.com", action=action, resource=stream, context=source)


def _rotation(made: Made) -> Iterator[Call]:
    """Secrets Manager refuses a rotation function that it may not call.

    Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html
    """
    function, secret = value_at(made.properties, "RotationLambdaARN"), value_at(made.properties, "SecretId")
    if function:
        source = Made(type_name=made.type_name, properties={}, arn=secret)
        yield from _use_of("secretsmanager.amazonaws.com", function, source)


def _interfaces(made: Made) -> Iterator[Call]:
    """A function in a VPC makes network interfaces as its own role.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
    """
    role = value_at(made.properties, "Role")
    if role and value_at(made.properties, "VpcConfig.SubnetIds.*"):
        for action in ("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"):
            yield Call(principal=role, action=action)


def _require_access_logs(authority: Authority, made: Made) -> None:
    """A load balancer tries its access log bucket at once; of the principals that AWS uses one must be allowed.

    Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
    """
    attributes = made.properties.get("LoadBalancerAttributes") or ()
    values = (
        {item["Key"]: str(item["Value"]) for item in attributes} if made.type_name.endswith("::LoadBalancer") else {}
    )
    if values.get("access_logs.s3.enabled") != "true":
        return
    prefix = values.get("access_logs.s3.prefix", "").strip("/")
    key = f"{prefix}/" if prefix else ""
    folder = f"{values.get('access_logs.s3.bucket', '')}/{key}AWSLogs/{backend.account_id()}"
    authority.require_any(
        [
            Call(
                principal=principal,
                action="s3:PutObject",
                resource=f"arn:aws:s3:::{folder}/ELBAccessLogTestFile",
                context=_source(made),
            )
            for principal in access_log_principals(backend.region())
        ],
        by=_BY,
    )


_AT_CREATION: Mapping[str, Callable[[Made], Iterator[Call]]] = {
    "AWS::Lambda::Function": _interfaces,
    "AWS::SecretsManager::RotationSchedule": _rotation,
}

_ALARM = _publishing(
    "cloudwatch.amazonaws.com", "AlarmActions.*", "OKActions.*", "InsufficientDataActions.*"
)  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html

_LATER: Mapping[str, Callable[[Made], Iterator[Call]]] = {
    "AWS::CloudWatch::Alarm": _ALARM,
    "AWS::CloudWatch::CompositeAlarm": _ALARM,
    # https://docs.aws.amazon.com/dtconsole/latest/userguide/notification-target-create.html
    "AWS::CodeStarNotifications::NotificationRule": _publishing(
        "codestar-notifications.amazonaws.com", "Targets.*.TargetAddress"
    ),
    "AWS::EC2::FlowLog": _flow_log,
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    "AWS::Events::Rule": _publishing("events.amazonaws.com", "Targets.*.Arn", "Targets.*.DeadLetterConfig.Arn"),
    "AWS::Lambda::Function": _function_logs,
    "AWS::SNS::Subscription": _subscription,
    "AWS::WAFv2::LoggingConfiguration": _firewall_log,
}
