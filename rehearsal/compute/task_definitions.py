"""What a task definition asks for, read from the answer of ECS `DescribeTaskDefinition` and checked."""

import enum
import graphlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.compute.errors import TaskDefinitionError

# ECS API reference: HealthCheck and ContainerDefinition, defaults on Fargate.
_INTERVAL_SECONDS = 30
_TIMEOUT_SECONDS = 5
_RETRIES = 3
_STOP_SECONDS = 30


class Condition(enum.Enum):
    """What a container waits for in another one (`dependsOn`)."""

    START = "START"
    COMPLETE = "COMPLETE"
    SUCCESS = "SUCCESS"
    HEALTHY = "HEALTHY"


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """A container health check; times in seconds."""

    command: tuple[str, ...]
    interval: float = _INTERVAL_SECONDS
    timeout: float = _TIMEOUT_SECONDS
    retries: int = _RETRIES
    start_period: float = 0


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """What a container may do less than others; only a container engine can keep it to that.

    `user` is empty for the image's own; `tmpfs` maps paths in the container to mount options, its size among them.
    """

    user: str = ""
    read_only_root: bool = False
    init: bool = False
    dropped_capabilities: tuple[str, ...] = ()
    tmpfs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ContainerDefinition:
    """One container of a task; times in seconds."""

    name: str
    image: str
    essential: bool = True
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    working_directory: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    depends_on: Mapping[str, Condition] = field(default_factory=dict)
    health_check: HealthCheck | None = None
    mounts: Mapping[str, str] = field(default_factory=dict)
    start_timeout: float | None = None
    stop_timeout: float = _STOP_SECONDS
    confinement: Confinement = field(default_factory=Confinement)
    log_group: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskDefinition:
    """A task definition; `containers` come in the order in which they can start."""

    arn: str
    family: str
    containers: tuple[ContainerDefinition, ...]
    execution_role: str = ""
    task_role: str = ""

    def container(self, name: str) -> ContainerDefinition:
        """Return a container by name; `TaskDefinitionError` when there is none."""
        for container in self.containers:
            if container.name == name:
                return container
        raise TaskDefinitionError(f"{self.arn} has no container {name!r}")


def parse_task_definition(description: Mapping[str, Any]) -> TaskDefinition:
    """Read the `taskDefinition` of an ECS answer.

    Raises:
        TaskDefinitionError: it is incomplete, refers to a container that does not exist, or cannot be ordered.
    """
    arn = str(description["taskDefinitionArn"])
    containers = {}
    for entry in description.get("containerDefinitions", []):
        try:
            container = _container(entry)
        except (KeyError, ValueError) as error:
            name = entry.get("name", "without a name")
            message = f"{arn}: container {name}: {error!r} is missing or not understood in {dict(entry)}"
            raise TaskDefinitionError(message) from error
        containers[container.name] = container
    _check_dependencies(arn, containers)
    try:
        order = graphlib.TopologicalSorter({name: list(c.depends_on) for name, c in containers.items()}).static_order()
        ordered = tuple(containers[name] for name in order)
    except graphlib.CycleError as error:
        raise TaskDefinitionError(f"{arn}: containers wait for each other: {' -> '.join(error.args[1])}") from error
    return TaskDefinition(
        arn=arn,
        family=str(description.get("family", "")),
        containers=ordered,
        execution_role=str(description.get("executionRoleArn") or ""),
        task_role=str(description.get("taskRoleArn") or ""),
    )


def _container(entry: Mapping[str, Any]) -> ContainerDefinition:
    return ContainerDefinition(
        name=entry["name"],
        image=entry["image"],
        essential=entry.get("essential", True),
        entrypoint=tuple(entry["entryPoint"]) if entry.get("entryPoint") else None,
        command=tuple(entry["command"]) if entry.get("command") else None,
        working_directory=entry.get("workingDirectory"),
        environment={variable["name"]: variable["value"] for variable in entry.get("environment") or []},
        secrets={secret["name"]: secret["valueFrom"] for secret in entry.get("secrets") or []},
        depends_on={
            dependency["containerName"]: Condition(dependency["condition"])
            for dependency in entry.get("dependsOn") or []
        },
        health_check=_health_check(entry.get("healthCheck")),
        mounts={
            mount["containerPath"]: mount["sourceVolume"]
            for mount in entry.get("mountPoints") or []
            if "sourceVolume" in mount
        },
        start_timeout=entry.get("startTimeout"),
        stop_timeout=float(entry.get("stopTimeout") or _STOP_SECONDS),
        confinement=_confinement(entry),
        log_group=((entry.get("logConfiguration") or {}).get("options") or {}).get("awslogs-group", ""),
    )


def _confinement(entry: Mapping[str, Any]) -> Confinement:
    linux = entry.get("linuxParameters") or {}
    return Confinement(
        user=str(entry.get("user") or ""),
        read_only_root=bool(entry.get("readonlyRootFilesystem")),
        init=bool(linux.get("initProcessEnabled")),
        dropped_capabilities=tuple((linux.get("capabilities") or {}).get("drop") or ()),
        tmpfs={
            mount["containerPath"]: ",".join([*(mount.get("mountOptions") or ()), f"size={mount['size']}m"])
            for mount in linux.get("tmpfs") or []
        },
    )


def _health_check(entry: Mapping[str, Any] | None) -> HealthCheck | None:
    if not entry or entry.get("command") == ["NONE"]:
        return None
    return HealthCheck(
        command=tuple(entry["command"]),
        interval=float(entry.get("interval") or _INTERVAL_SECONDS),
        timeout=float(entry.get("timeout") or _TIMEOUT_SECONDS),
        retries=int(entry.get("retries") or _RETRIES),
        start_period=float(entry.get("startPeriod") or 0),
    )


def _check_dependencies(arn: str, containers: Mapping[str, ContainerDefinition]) -> None:
    if not any(container.essential for container in containers.values()):
        raise TaskDefinitionError(f"{arn}: no container is essential; at least one must be")
    for container in containers.values():
        for name, condition in container.depends_on.items():
            if name not in containers:
                raise TaskDefinitionError(f"{arn}: container {container.name} waits for {name}, which does not exist")
            if condition is Condition.HEALTHY and containers[name].health_check is None:
                raise TaskDefinitionError(
                    f"{arn}: container {container.name} waits for {name} to be healthy, which has no health check"
                )
            if condition in {Condition.COMPLETE, Condition.SUCCESS} and containers[name].essential:
                raise TaskDefinitionError(
                    f"{arn}: container {container.name} waits for {name} to end, which is essential and must not end"
                )
