"""What the emulated account says about services and load balancers, read with boto3; blocking."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3.session

from rehearsal.compute.errors import ComputeError
from rehearsal.compute.routing import (
    Action,
    Condition,
    FixedResponse,
    Forward,
    ListenerSettings,
    LoadBalancerSettings,
    Redirect,
    Rule,
)
from rehearsal.compute.target_groups import TargetGroupSettings
from rehearsal.compute.task_definitions import TaskDefinition, parse_task_definition

_CONDITION_CONFIGS = {
    "path-pattern": "PathPatternConfig",
    "host-header": "HostHeaderConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}


@dataclass(frozen=True, kw_only=True)
class ServiceDescription:
    """An ECS service as the account has it; `targets` are (target group ARN, container port)."""

    definition: TaskDefinition
    desired: int
    targets: tuple[tuple[str, int], ...]
    minimum_healthy_percent: int
    maximum_percent: int
    strategy: str


def read_service(session: boto3.session.Session, cluster: str, name: str) -> ServiceDescription:
    """Read a service and its task definition.

    Raises:
        ComputeError: there is no such service, or its task definition cannot be run.
    """
    ecs = session.client("ecs")
    found = ecs.describe_services(cluster=cluster, services=[name])["services"]
    if not found:
        raise ComputeError(f"the account has no service {name} in cluster {cluster}")
    service: Mapping[str, Any] = found[0]
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
    """Read every target group, by ARN."""
    elbv2 = session.client("elbv2")
    found = {}
    for group in elbv2.describe_target_groups()["TargetGroups"]:
        arn = group["TargetGroupArn"]
        attributes = _attributes(elbv2.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"])
        found[arn] = TargetGroupSettings(
            arn=arn,
            name=group["TargetGroupName"],
            protocol=group["Protocol"],
            health_protocol=group["HealthCheckProtocol"],
            health_path=group.get("HealthCheckPath", "/"),
            health_matcher=group.get("Matcher", {}).get("HttpCode", "200"),
            health_interval=group["HealthCheckIntervalSeconds"],
            health_timeout=group["HealthCheckTimeoutSeconds"],
            healthy_threshold=group["HealthyThresholdCount"],
            unhealthy_threshold=group["UnhealthyThresholdCount"],
            deregistration_delay=float(attributes.get("deregistration_delay.timeout_seconds", "300")),
            least_outstanding=attributes.get("load_balancing.algorithm.type") == "least_outstanding_requests",
        )
    return found


def read_load_balancers(session: boto3.session.Session) -> list[LoadBalancerSettings]:
    """Read every Application Load Balancer with its listeners, its rules and its web ACL."""
    elbv2, wafv2 = session.client("elbv2"), session.client("wafv2")
    found = []
    for balancer in elbv2.describe_load_balancers()["LoadBalancers"]:
        if balancer["Type"] != "application":
            continue
        arn = balancer["LoadBalancerArn"]
        attributes = _attributes(elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"])
        listeners = [
            _listener(elbv2, listener) for listener in elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"]
        ]
        found.append(
            LoadBalancerSettings(
                arn=arn,
                name=balancer["LoadBalancerName"],
                dns_name=balancer["DNSName"],
                listeners=tuple(sorted(listeners, key=lambda listener: listener.port)),
                idle_timeout=float(attributes.get("idle_timeout.timeout_seconds", "60")),
                drop_invalid_headers=attributes.get("routing.http.drop_invalid_header_fields.enabled") == "true",
                web_acl=_web_acl(wafv2, arn),
            )
        )
    return found


def _web_acl(wafv2: Any, load_balancer: str) -> Mapping[str, Any] | None:
    try:
        acl: Mapping[str, Any] = wafv2.get_web_acl_for_resource(ResourceArn=load_balancer)["WebACL"]
    except wafv2.exceptions.WAFNonexistentItemException:  # the emulator; AWS answers without a web ACL
        return None
    return acl


def _listener(elbv2: Any, listener: Mapping[str, Any]) -> ListenerSettings:
    arn = listener["ListenerArn"]
    attributes = _attributes(elbv2.describe_listener_attributes(ListenerArn=arn)["Attributes"])
    named = {key: re.fullmatch(r"routing\.http\.response\.(\w+)\.header_value", key) for key in attributes}
    return ListenerSettings(
        port=listener["Port"],
        protocol=listener["Protocol"],
        rules=_rules(elbv2.describe_rules(ListenerArn=arn)["Rules"]),
        response_headers={
            match[1].replace("_", "-").title(): attributes[key]
            for key, match in named.items()
            if match and attributes[key]
        },
        names_server=attributes.get("routing.http.response.server.enabled") != "false",
    )


def _attributes(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {entry["Key"]: entry["Value"] for entry in entries}


def _rules(entries: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    def priority(entry: Mapping[str, Any]) -> float:
        return float("inf") if entry["Priority"] == "default" else float(entry["Priority"])

    return tuple(
        Rule(
            action=_action(entry["Actions"]), conditions=tuple(_condition(one) for one in entry.get("Conditions") or [])
        )
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
        case "fixed-response":
            config = last["FixedResponseConfig"]
            return FixedResponse(
                status=int(config["StatusCode"]),
                content_type=config.get("ContentType") or "text/plain",
                body=config.get("MessageBody", ""),
            )
        case other:
            raise ComputeError(f"a listener rule has the action {other!r}, which is not known here")


def _condition(entry: Mapping[str, Any]) -> Condition:
    name = entry["Field"]
    config = entry.get(_CONDITION_CONFIGS.get(name, ""), {})
    values = config.get("Values") or entry.get("Values") or []
    if name == "query-string":
        values = [f"{pair['Key']}={pair['Value']}" if pair.get("Key") else f"*{pair['Value']}*" for pair in values]
    return Condition(name=name, values=tuple(values), header=config.get("HttpHeaderName", ""))
