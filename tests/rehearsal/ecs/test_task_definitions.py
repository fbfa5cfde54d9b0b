"""Task definitions are parsed, and refused if ECS would not run them or the rehearsal does not support them."""

from typing import Any

import pytest

from rehearsal.ecs.task_definitions import HealthCheck, parse_task_definition
from rehearsal.host.errors import TaskDefinitionError


def description(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"taskDefinitionArn": "task-api:1", "family": "task-api", "containerDefinitions": list(containers)}


def depending(condition: str, name: str = "migrate") -> dict[str, Any]:
    return {"name": "api", "image": "image", "dependsOn": [{"containerName": name, "condition": condition}]}


MIGRATE = {"name": "migrate", "image": "image", "essential": False}
API = depending("COMPLETE")


def test_containers_are_in_start_order() -> None:
    definition = parse_task_definition(description(API, MIGRATE))
    assert [container.name for container in definition.containers] == ["migrate", "api"]
    assert definition.container("api").depends_on == ("migrate",)


def test_the_members_of_a_container_are_parsed() -> None:
    entry = {
        "name": "api",
        "image": "image",
        "command": ["python", "-m", "app"],
        "environment": [{"name": "PORT", "value": "8443"}],
        "secrets": [{"name": "PGUSER", "valueFrom": "arn:secret:username::"}],
        "healthCheck": {"command": ["CMD", "true"], "interval": 5, "timeout": 2, "retries": 2, "startPeriod": 60},
        "stopTimeout": 45,
    }
    container = parse_task_definition(description(entry)).container("api")
    assert container.essential
    assert container.command == ("python", "-m", "app")
    assert container.environment == {"PORT": "8443"}
    assert container.secrets == {"PGUSER": "arn:secret:username::"}
    assert container.health_check == HealthCheck(
        command=("CMD", "true"), interval=5, timeout=2, retries=2, start_period=60
    )
    assert container.stop_timeout == 45


def test_defaults_are_those_of_ecs() -> None:
    container = parse_task_definition(
        description({"name": "api", "image": "image", "healthCheck": {"command": ["CMD", "true"]}})
    ).container("api")
    assert container.health_check == HealthCheck(
        command=("CMD", "true"), interval=30, timeout=5, retries=3, start_period=0
    )
    assert container.stop_timeout == 30


@pytest.mark.parametrize(
    ("containers", "message"),
    [
        ([{**API, "dependsOn": [{}]}, MIGRATE], "container api: KeyError.'containerName'. is missing"),
        ([{**API, "secrets": [{}]}, MIGRATE], "container api: KeyError.'name'. is missing"),
        ([API], "depends on migrate, which does not exist"),
        ([MIGRATE], "no container is essential"),
        ([{**MIGRATE, "essential": True}, API], "depends on COMPLETE of migrate, which is essential"),
        ([depending("SUCCESS"), MIGRATE], "may stay PENDING for up to three hours on AWS.*depend on COMPLETE"),
        ([depending("HEALTHY"), MIGRATE], "depends on HEALTHY of migrate, which is not supported"),
        ([{**API, "startTimeout": 5}, MIGRATE], "container api: startTimeout is not supported"),
        (
            [
                {**MIGRATE, "dependsOn": [{"containerName": "m2", "condition": "COMPLETE"}]},
                {**MIGRATE, "name": "m2", "dependsOn": [{"containerName": "migrate", "condition": "COMPLETE"}]},
                API,
            ],
            "containers depend on each other: ",
        ),
    ],
    ids=["dependency", "secret", "unknown", "not essential", "essential", "SUCCESS", "HEALTHY", "member", "cycle"],
)
def test_an_invalid_definition_is_refused(containers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(TaskDefinitionError, match=message):
        parse_task_definition(description(*containers))
