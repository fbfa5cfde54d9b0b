"""Services, target groups and load balancers as the emulated account describes them; blocking."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3.session

from rehearsal.ecs.task_definitions import TaskDefinition, parse_task_definition
from rehearsal.elbv2.routing import Action, Forward, ListenerSettings, LoadBalancerSettings, Redirect, Rule
from rehearsal.elbv2.target_groups import TargetGroupSettings
from rehearsal.host.errors import RehearsalError


@dataclass(frozen=True, kw_only=True)
class ServiceDescription:
    """An ECS service; `targets` are target group ARNs with container ports."""

    definition: TaskDefinition
    desired: int
    targets: tuple[tuple[str, int], ...]
    minimum_healthy_percent: int
    maximum_percent: int
    strategy: str


def read_service(session: boto3.session.Session, cluster: str, name: str) -> ServiceDescription:
    """Read a service and its task definition.

    Raises:
        RehearsalError: The service does not exist, or its task definition is not supported.

    """
    ecs = session.client("ecs")
    services = ecs.describe_services(cluster=cluster, services=[name])["services"]
    if not services:
        raise RehearsalError(f"the account has no service {name} in cluster {cluster}")
    service: Mapping[str, Any] = services[0]
    definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    deployment = service.get("deploymentConfiguration") or {}
    return ServiceDescription(
        definition=parse_task_definition(definition),
        desired=service.get("desiredCount", 1),
        targets=tuple(
            (entry["targetGroupArn"], entry["containerPort"])
            for entry in service.get("loadBalancers") or []
            if entry.get("targetGroupArn")
        ),
        minimum_healthy_percent=deployment.get("minimumHealthyPercent", 100),
        maximum_percent=deployment.get("maximumPercent", 200),
        strategy=deployment.get("strategy", "ROLLING"),
    )


def read_target_groups(session: boto3.session.Session) -> dict[str, TargetGroupSettings]:
    """Read every target group, by ARN.

    Raises:
        RehearsalError: A health check is not supported.

    """
    elbv2 = session.client("elbv2")
    groups = {}
    for group in elbv2.describe_target_groups()["TargetGroups"]:
        arn, matcher = group["TargetGroupArn"], group.get("Matcher", {}).get("HttpCode", "200")
        if not matcher.isdecimal():
            raise RehearsalError(
                f"target group {group['TargetGroupName']}: the matcher {matcher} is not supported by the rehearsal"
            )
        attributes = _attributes(elbv2.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"])
        groups[arn] = TargetGroupSettings(
            arn=arn,
            name=group["TargetGroupName"],
            protocol=group["Protocol"],
            health_protocol=group["HealthCheckProtocol"],
            health_path=group.get("HealthCheckPath", "/"),
            health_matcher=int(matcher),
            health_interval=group["HealthCheckIntervalSeconds"],
            health_timeout=group["HealthCheckTimeoutSeconds"],
            healthy_threshold=group["HealthyThresholdCount"],
            unhealthy_threshold=group["UnhealthyThresholdCount"],
            deregistration_delay=float(attributes.get("deregistration_delay.timeout_seconds", "300")),
            least_outstanding=attributes.get("load_balancing.algorithm.type") == "least_outstanding_requests",
        )
    return groups


def read_load_balancers(session: boto3.session.Session) -> list[LoadBalancerSettings]:
    """Read every Application Load Balancer with its listeners, rules and web ACL.

    Raises:
        RehearsalError: A listener rule is not supported.

    """
    elbv2, wafv2 = session.client("elbv2"), session.client("wafv2")
    balancers = []
    for balancer in elbv2.describe_load_balancers()["LoadBalancers"]:
        if balancer["Type"] != "application":
            continue
        arn = balancer["LoadBalancerArn"]
        attributes = _attributes(elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"])
        listeners = [
            _read_listener(elbv2, listener) for listener in elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"]
        ]
        balancers.append(
            LoadBalancerSettings(
                arn=arn,
                name=balancer["LoadBalancerName"],
                dns_name=balancer["DNSName"],
                listeners=tuple(sorted(listeners, key=lambda listener: listener.port)),
                idle_timeout=float(attributes.get("idle_timeout.timeout_seconds", "60")),
                drop_invalid_headers=attributes.get("routing.http.drop_invalid_header_fields.enabled") == "true",
                web_acl=_read_web_acl(wafv2, arn),
            )
        )
    return balancers


def _read_web_acl(wafv2: Any, load_balancer: str) -> Mapping[str, Any] | None:
    try:
        acl: Mapping[str, Any] = wafv2.get_web_acl_for_resource(ResourceArn=load_balancer)["WebACL"]
    except wafv2.exceptions.WAFNonexistentItemException:  # the emulator; the response of AWS has no web ACL
        return None
    return acl


def _read_listener(elbv2: Any, listener: Mapping[str, Any]) -> ListenerSettings:
    arn = listener["ListenerArn"]
    attributes = _attributes(elbv2.describe_listener_attributes(ListenerArn=arn)["Attributes"])
    headers = {key: re.fullmatch(r"routing\.http\.response\.(\w+)\.header_value", key) for key in attributes}
    return ListenerSettings(
        port=listener["Port"],
        protocol=listener["Protocol"],
        rules=_rules(elbv2.describe_rules(ListenerArn=arn)["Rules"]),
        response_headers={
            match[1].replace("_", "-").title(): attributes[key]
            for key, match in headers.items()
            if match and attributes[key]
        },
        server_header=attributes.get("routing.http.response.server.enabled") != "false",
    )


def _attributes(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {entry["Key"]: entry["Value"] for entry in entries}


def _rules(entries: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    def priority(entry: Mapping[str, Any]) -> float:
        return float("inf") if entry["Priority"] == "default" else float(entry["Priority"])

    return tuple(
        Rule(action=_action(entry["Actions"]), path_patterns=_path_patterns(entry.get("Conditions") or []))
        for entry in sorted(entries, key=priority)
    )


def _action(entries: Iterable[Mapping[str, Any]]) -> Action:
    last = max(entries, key=lambda entry: int(entry.get("Order", 1)))
    match last["Type"]:
        case "forward":
            groups = last.get("ForwardConfig", {}).get("TargetGroups") or [{"TargetGroupArn": last["TargetGroupArn"]}]
            return Forward(groups={group["TargetGroupArn"]: int(group.get("Weight", 1)) for group in groups})
        case "redirect":
            config = last["RedirectConfig"]
            names = ("Protocol", "Port", "Host", "Path", "Query")
            given = {name.lower(): config[name] for name in names if config.get(name) is not None}
            return Redirect(**given, status=int(config["StatusCode"].removeprefix("HTTP_")))
        case other:
            raise RehearsalError(f"the action {other} of a listener rule is not supported by the rehearsal")


def _path_patterns(conditions: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    patterns: list[str] = []
    for condition in conditions:
        if condition["Field"] != "path-pattern" or patterns:
            raise RehearsalError(
                f"the condition {condition['Field']} of a listener rule is not supported by the rehearsal"
            )
        patterns += condition.get("PathPatternConfig", {}).get("Values") or condition.get("Values") or []
    return tuple(patterns)
