"""Task definitions, parsed from the response of ECS's DescribeTaskDefinition and validated."""

import graphlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.host.errors import TaskDefinitionError

# ECS API reference: HealthCheck and ContainerDefinition, defaults on Fargate.
_INTERVAL_SECONDS = 30
_TIMEOUT_SECONDS = 5
_RETRIES = 3
_STOP_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """A container health check; times are in seconds."""

    command: tuple[str, ...]
    interval: float = _INTERVAL_SECONDS
    timeout: float = _TIMEOUT_SECONDS
    retries: int = _RETRIES
    start_period: float = 0


@dataclass(frozen=True, kw_only=True)
class SecurityOptions:
    """Restrictions of a container, which only a container engine can enforce."""

    #: Empty for the user of the image.
    user: str = ""
    read_only_root: bool = False
    init: bool = False
    dropped_capabilities: tuple[str, ...] = ()
    #: Path in the container to mount options, including the size.
    tmpfs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ContainerDefinition:
    """A container of a task."""

    name: str
    image: str
    essential: bool = True
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Variable name to the reference of its value (`valueFrom`).
    secrets: Mapping[str, str] = field(default_factory=dict)
    #: Names of the containers that must have exited before (`COMPLETE`).
    depends_on: tuple[str, ...] = ()
    health_check: HealthCheck | None = None
    #: In seconds.
    stop_timeout: float = _STOP_SECONDS
    security: SecurityOptions = field(default_factory=SecurityOptions)
    log_group: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskDefinition:
    """A task definition; its containers are in the order in which they can start."""

    arn: str
    containers: tuple[ContainerDefinition, ...]
    execution_role: str = ""
    task_role: str = ""

    def container(self, name: str) -> ContainerDefinition:
        """Return a container by its name."""
        return next(container for container in self.containers if container.name == name)


def parse_task_definition(description: Mapping[str, Any]) -> TaskDefinition:
    """Parse the `taskDefinition` of a response.

    Raises:
        TaskDefinitionError: It is incomplete, refers to a container that does not exist, has a cycle, or is not
            supported.
    """
    arn = str(description["taskDefinitionArn"])
    containers = {}
    for entry in description.get("containerDefinitions", []):
        try:
            container = _parse_container(arn, entry)
        except (KeyError, ValueError) as error:
            name = entry.get("name", "without a name")
            raise TaskDefinitionError(f"{arn}: container {name}: {error!r} is missing or invalid") from error
        containers[container.name] = container
    _validate(arn, containers)
    try:
        order = graphlib.TopologicalSorter({name: c.depends_on for name, c in containers.items()}).static_order()
        ordered = tuple(containers[name] for name in order)
    except graphlib.CycleError as error:
        raise TaskDefinitionError(f"{arn}: containers depend on each other: {' -> '.join(error.args[1])}") from error
    return TaskDefinition(
        arn=arn,
        containers=ordered,
        execution_role=str(description.get("executionRoleArn") or ""),
        task_role=str(description.get("taskRoleArn") or ""),
    )


def _parse_container(arn: str, entry: Mapping[str, Any]) -> ContainerDefinition:
    for name in ("entryPoint", "workingDirectory", "mountPoints", "startTimeout"):
        if entry.get(name):
            raise TaskDefinitionError(f"{arn}: container {entry['name']}: {name} is not supported by the rehearsal")
    return ContainerDefinition(
        name=entry["name"],
        image=entry["image"],
        essential=entry.get("essential", True),
        command=tuple(entry["command"]) if entry.get("command") else None,
        environment={variable["name"]: variable["value"] for variable in entry.get("environment") or []},
        secrets={secret["name"]: secret["valueFrom"] for secret in entry.get("secrets") or []},
        depends_on=tuple(_parse_dependency(arn, entry["name"], one) for one in entry.get("dependsOn") or []),
        health_check=_parse_health_check(entry.get("healthCheck")),
        stop_timeout=float(entry.get("stopTimeout") or _STOP_SECONDS),
        security=_parse_security(entry),
        log_group=((entry.get("logConfiguration") or {}).get("options") or {}).get("awslogs-group", ""),
    )


def _parse_dependency(arn: str, container: str, dependency: Mapping[str, str]) -> str:
    name, condition = dependency["containerName"], dependency["condition"]
    if condition == "SUCCESS":
        raise TaskDefinitionError(
            f"{arn}: container {container} depends on SUCCESS of {name}: if {name} fails, the task may stay PENDING "
            "for up to three hours on AWS, which no circuit breaker counts (aws/containers-roadmap#817); "
            f"depend on COMPLETE, and let {container} itself refuse to start"
        )
    if condition != "COMPLETE":
        raise TaskDefinitionError(
            f"{arn}: container {container} depends on {condition} of {name}, which is not supported by the rehearsal"
        )
    return name


def _parse_security(entry: Mapping[str, Any]) -> SecurityOptions:
    linux = entry.get("linuxParameters") or {}
    return SecurityOptions(
        user=str(entry.get("user") or ""),
        read_only_root=bool(entry.get("readonlyRootFilesystem")),
        init=bool(linux.get("initProcessEnabled")),
        dropped_capabilities=tuple((linux.get("capabilities") or {}).get("drop") or ()),
        tmpfs={
            mount["containerPath"]: ",".join([*(mount.get("mountOptions") or ()), f"size={mount['size']}m"])
            for mount in linux.get("tmpfs") or []
        },
    )


def _parse_health_check(entry: Mapping[str, Any] | None) -> HealthCheck | None:
    if not entry:
        return None
    return HealthCheck(
        command=tuple(entry["command"]),
        interval=float(entry.get("interval") or _INTERVAL_SECONDS),
        timeout=float(entry.get("timeout") or _TIMEOUT_SECONDS),
        retries=int(entry.get("retries") or _RETRIES),
        start_period=float(entry.get("startPeriod") or 0),
    )


def _validate(arn: str, containers: Mapping[str, ContainerDefinition]) -> None:
    if not any(container.essential for container in containers.values()):
        raise TaskDefinitionError(f"{arn}: no container is essential")
    for container in containers.values():
        for name in container.depends_on:
            if name not in containers:
                raise TaskDefinitionError(f"{arn}: container {container.name} depends on {name}, which does not exist")
            if containers[name].essential:
                raise TaskDefinitionError(
                    f"{arn}: container {container.name} depends on COMPLETE of {name}, which is essential"
                )
