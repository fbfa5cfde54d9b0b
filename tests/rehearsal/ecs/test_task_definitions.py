"""A task definition that could not run in ECS is refused with the reason."""

from typing import Any

import pytest

from rehearsal.ecs.task_definitions import Condition, HealthCheck, parse_task_definition
from rehearsal.host.errors import TaskDefinitionError


def description(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"taskDefinitionArn": "task-api:1", "family": "task-api", "containerDefinitions": list(containers)}


MIGRATE = {"name": "migrate", "image": "image", "essential": False}
API = {"name": "api", "image": "image", "dependsOn": [{"containerName": "migrate", "condition": "SUCCESS"}]}


def test_containers_come_in_the_order_in_which_they_can_start() -> None:
    definition = parse_task_definition(description(API, MIGRATE))
    assert [container.name for container in definition.containers] == ["migrate", "api"]
    assert definition.container("api").depends_on == {"migrate": Condition.SUCCESS}


def test_everything_that_a_container_declares_is_read() -> None:
    entry = {
        "name": "api",
        "image": "image",
        "entryPoint": ["python"],
        "command": ["-m", "payments"],
        "workingDirectory": "/app",
        "environment": [{"name": "PORT", "value": "8443"}],
        "secrets": [{"name": "PGUSER", "valueFrom": "arn:secret:username::"}],
        "mountPoints": [{"containerPath": "/tmp", "sourceVolume": "tmp", "readOnly": False}],
        "healthCheck": {"command": ["CMD", "true"], "interval": 5, "timeout": 2, "retries": 2, "startPeriod": 60},
        "stopTimeout": 45,
        "startTimeout": 10,
    }
    container = parse_task_definition(description(entry)).container("api")
    assert container.essential
    assert (container.entrypoint, container.command) == (("python",), ("-m", "payments"))
    assert container.environment == {"PORT": "8443"}
    assert container.secrets == {"PGUSER": "arn:secret:username::"}
    assert container.mounts == {"/tmp": "tmp"}
    assert container.health_check == HealthCheck(
        command=("CMD", "true"), interval=5, timeout=2, retries=2, start_period=60
    )
    assert (container.stop_timeout, container.start_timeout, container.working_directory) == (45, 10, "/app")


def test_defaults_are_those_of_ecs() -> None:
    container = parse_task_definition(
        description({"name": "api", "image": "image", "healthCheck": {"command": ["CMD", "true"]}})
    ).container("api")
    assert container.health_check == HealthCheck(
        command=("CMD", "true"), interval=30, timeout=5, retries=3, start_period=0
    )
    assert (container.stop_timeout, container.start_timeout) == (30, None)


@pytest.mark.parametrize(
    ("containers", "message"),
    [
        ([{**API, "dependsOn": [{}]}, MIGRATE], "container api: KeyError.'containerName'. is missing"),
        ([{**API, "secrets": [{}]}, MIGRATE], "container api: KeyError.'name'. is missing"),
        ([API], "waits for migrate, which does not exist"),
        ([MIGRATE], "no container is essential"),
        ([{**MIGRATE, "essential": True}, API], "migrate to end, which is essential"),
        (
            [MIGRATE, {**API, "dependsOn": [{"containerName": "migrate", "condition": "HEALTHY"}]}],
            "waits for migrate to be healthy, which has no health check",
        ),
        (
            [{**MIGRATE, "dependsOn": [{"containerName": "api", "condition": "START"}]}, API],
            "containers wait for each other: ",
        ),
    ],
)
def test_what_could_not_run_is_refused(containers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(TaskDefinitionError, match=message):
        parse_task_definition(description(*containers))
