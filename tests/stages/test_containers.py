"""Containers run unprivileged and read-only, migrate before they serve, and roll back by themselves."""

import os
from typing import Any
from unittest import mock

import pytest

from payments import healthcheck
from payments.cli import main as cli
from payments.core.settings import Settings
from payments.server import https_server as server
from payments.worker import heartbeat
from payments.worker import main as worker
from stages.config.capacity import CapacityConfig
from tests.stages.model import PROJECT, Resource, Templates

KINDS = ("api", "worker")


def task(templates: Templates, kind: str) -> Resource:
    found = [
        each for each in templates.all("AWS::ECS::TaskDefinition") if each["Family"].startswith(f"ecs-task-{kind}-")
    ]
    assert len(found) == 1
    return found[0]


def container(templates: Templates, kind: str, name: str) -> dict[str, Any]:
    return next(each for each in task(templates, kind)["ContainerDefinitions"] if each["Name"] == name)


def service(templates: Templates, kind: str) -> Resource:
    found = [each for each in templates.all("AWS::ECS::Service") if f"-{kind}-" in each["ServiceName"]]
    assert len(found) == 1
    return found[0]


def environment(definition: dict[str, Any]) -> dict[str, Any]:
    return {item["Name"]: item["Value"] for item in definition["Environment"]}


def secrets(templates: Templates, kind: str, name: str) -> dict[str, str]:
    owner = task(templates, kind)
    names = {
        f"{each.stack}/{each.logical_id}": each["Name"].rsplit("-", 1)[0]
        for each in templates.all("AWS::SecretsManager::Secret")
    }
    found = {}
    for item in container(templates, kind, name)["Secrets"]:
        reference, field = templates.resolve(owner.stack, item["ValueFrom"]).removesuffix("::").rsplit(":", 1)
        found[item["Name"]] = f"{names[reference]}:{field}"
    return found


def test_container_insights_write_to_a_declared_log_group(each: Templates) -> None:
    cluster = each.one("AWS::ECS::Cluster")
    assert cluster["ClusterSettings"] == [{"Name": "containerInsights", "Value": "enhanced"}]
    name = f"/aws/ecs/containerinsights/{cluster['ClusterName']}/performance"
    assert each.one("AWS::Logs::LogGroup", LogGroupName=name).logical_id in cluster.depends_on


@pytest.mark.parametrize("kind", KINDS)
def test_migrations_finish_before_the_process_starts(each: Templates, kind: str) -> None:
    migrate, main = task(each, kind)["ContainerDefinitions"]
    assert (migrate["Name"], migrate["Essential"], migrate["Command"]) == (
        "migrate",
        False,
        ["python", "-m", "payments", "migrate"],
    )
    assert (main["Name"], main["Essential"], main["Command"]) == (kind, True, ["python", "-m", "payments", kind])
    assert main["DependsOn"] == [{"ContainerName": "migrate", "Condition": "COMPLETE"}], "SUCCESS may wait for hours"
    assert "StartTimeout" not in migrate, "a slow migration keeps its own deadline"


@pytest.mark.parametrize("kind", KINDS)
def test_only_migrate_holds_the_owners_credentials(dev: Templates, kind: str) -> None:
    assert secrets(dev, kind, "migrate") == {
        "PGUSER": "db-credentials:username",
        "PGPASSWORD": "db-credentials:password",
        "APP_DB_USER": "db-app-credentials:username",
        "APP_DB_PASSWORD": "db-app-credentials:password",
        "SMOKE_KEY_ID": "smoke-api-key:id",
        "SMOKE_KEY_SECRET": "smoke-api-key:secret",
    }
    assert secrets(dev, kind, kind) == {
        "PGUSER": "db-app-credentials:username",
        "PGPASSWORD": "db-app-credentials:password",
        "STRIPE_API_KEY": "processor-keys:api_key",
        "STRIPE_WEBHOOK_SECRET": "processor-keys:webhook_secret",
    }


@pytest.mark.parametrize("kind", [*KINDS, "admin"])
def test_every_container_is_hardened(each: Templates, kind: str) -> None:
    for definition in task(each, kind)["ContainerDefinitions"]:
        assert definition["ReadonlyRootFilesystem"] is True
        assert definition["User"].split(":")[0] not in ("", "0", "root")
        assert not definition.get("Privileged")
        linux = definition["LinuxParameters"]
        assert linux["InitProcessEnabled"] is True
        assert linux["Capabilities"] == {"Drop": ["ALL"]}
        (tmp,) = linux["Tmpfs"]
        assert tmp["ContainerPath"] == "/tmp"
        assert {"noexec", "nosuid", "nodev"} <= set(tmp["MountOptions"])


#: Seconds that each process takes to drain after SIGTERM, at most.
DRAINS = {"api": server.DRAIN, "worker": worker._DRAIN}
#: Seconds for the shutdown after the drain: metrics, connections, the interpreter.
SHUTDOWN = 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_can_drain_before_it_is_killed(each: Templates, kind: str) -> None:
    for definition in task(each, kind)["ContainerDefinitions"]:
        assert DRAINS[kind] + SHUTDOWN <= definition["StopTimeout"] <= 120, "Fargate allows two minutes"
    assert container(each, "worker", "worker")["StopTimeout"] >= 45


@pytest.mark.parametrize("kind", KINDS)
def test_every_process_has_a_health_check(each: Templates, kind: str) -> None:
    migrate, main = task(each, kind)["ContainerDefinitions"]
    check = main["HealthCheck"]
    assert check["Command"] == ["CMD", "python", "-m", "payments.healthcheck", kind]
    assert check["Timeout"] > healthcheck._TIMEOUT, "the check times out by itself"
    assert check["Interval"] * check["Retries"] <= heartbeat.MAX_AGE, "a fresh heartbeat is not checked twice"
    assert check["StartPeriod"] >= 30, "a quarter of a vCPU needs seconds to import the service"
    assert "HealthCheck" not in migrate


@pytest.mark.parametrize("kind", [*KINDS, "admin"])
def test_the_database_is_reached_with_verified_tls(each: Templates, kind: str) -> None:
    owner, cluster = task(each, kind), each.one("AWS::RDS::DBCluster")
    for definition in owner["ContainerDefinitions"]:
        found = environment(definition)
        assert found["PGSSLMODE"] == "verify-full"
        assert found["PGSSLROOTCERT"] == "/app/rds-global-bundle.pem"
        assert (found["PGPORT"], found["PGDATABASE"]) == ("5432", "payments")
        host = each.resolve(owner.stack, found["PGHOST"])
        assert host == f"{cluster.stack}/{cluster.logical_id}.Endpoint.Address"


@pytest.mark.parametrize("kind", KINDS)
def test_environment_is_the_contract_with_the_service(dev: Templates, prod: Templates, kind: str) -> None:
    found = environment(container(dev, kind, kind))
    balancer = dev.one("AWS::ElasticLoadBalancingV2::LoadBalancer")
    base_url = dev.resolve(balancer.stack, found.pop("PUBLIC_BASE_URL"))
    assert base_url == f"https://{balancer.stack}/{balancer.logical_id}.DNSName"
    assert {name: value for name, value in found.items() if not name.startswith("PG")} == {
        "ENVIRONMENT": "dev",
        "BIND_HOST": "0.0.0.0",
        "PORT": "8443",
        "PROCESSOR": "sandbox",
        "ALLOW_LIVE_KEYS": "false",
        "DB_POOL_SIZE": "16",
    }
    live = environment(container(prod, kind, kind))
    assert live["PUBLIC_BASE_URL"] == "https://api.payments.example"
    assert (live["PROCESSOR"], live["ALLOW_LIVE_KEYS"]) == ("stripe", "true")


#: Values of the processor's form, which the service insists on.
SECRETS = {"STRIPE_API_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_service_parses_its_environment(prod: Templates, kind: str) -> None:
    found = environment(container(prod, kind, kind))
    told = {name: str(prod.resolve(task(prod, kind).stack, value)) for name, value in found.items()}
    told |= {name: SECRETS.get(name, "secret") for name in secrets(prod, kind, kind)}
    with mock.patch.dict(os.environ, told, clear=True):
        settings = Settings.from_environment()
    assert (settings.environment, settings.bind_host, settings.port) == ("prod", "0.0.0.0", 8443)
    assert (settings.processor, settings.allow_live_keys) == ("stripe", True)
    assert settings.public_base_url == "https://api.payments.example"
    assert {
        "STRIPE_API_KEY": settings.stripe_api_key,
        "STRIPE_WEBHOOK_SECRET": settings.stripe_webhook_secret,
    } == SECRETS


def test_only_the_api_has_a_port(each: Templates) -> None:
    (mapping,) = container(each, "api", "api")["PortMappings"]
    assert mapping["ContainerPort"] == 8443
    for kind, name in (("api", "migrate"), ("worker", "migrate"), ("worker", "worker")):
        assert not container(each, kind, name).get("PortMappings")


def test_both_services_run_the_same_image(each: Templates) -> None:
    images = {
        str(each.resolve(owner.stack, definition["Image"]))
        for owner in each.all("AWS::ECS::TaskDefinition")
        for definition in owner["ContainerDefinitions"]
    }
    assert len(images) == 1


def test_task_sizes_are_what_the_configuration_says(dev: Templates, prod: Templates) -> None:
    def size(templates: Templates, kind: str) -> tuple[str, str]:
        return task(templates, kind)["Cpu"], task(templates, kind)["Memory"]

    assert (size(dev, "api"), size(dev, "worker")) == (("512", "1024"), ("256", "512"))
    assert (size(prod, "api"), size(prod, "worker")) == (("1024", "2048"), ("256", "512"))


def test_an_admin_task_lists_stuck_attempts_by_default(each: Templates) -> None:
    (admin,) = task(each, "admin")["ContainerDefinitions"]
    assert (admin["Name"], admin["Essential"]) == ("admin", True)
    assert admin["Command"] == ["python", "-m", "payments", "stuck"]
    assert "stuck" in cli._COMMANDS
    assert "DependsOn" not in admin
    assert "PortMappings" not in admin


def test_an_admin_task_uses_the_applications_credentials(dev: Templates, prod: Templates) -> None:
    assert secrets(dev, "admin", "admin") == secrets(dev, "api", "api")
    told = {name: str(value) for name, value in environment(container(prod, "admin", "admin")).items()}
    told |= {name: SECRETS.get(name, "secret") for name in secrets(prod, "admin", "admin")}
    with mock.patch.dict(os.environ, told, clear=True):
        settings = Settings.from_environment()
    assert (settings.environment, settings.processor, settings.allow_live_keys) == ("prod", "stripe", True)


def test_outputs_contain_what_running_an_admin_task_needs(each: Templates) -> None:
    """docs/operations.md names these outputs."""
    outputs = {
        name: each.resolve(stack, output["Value"])
        for stack, template in each.by_stack.items()
        for name, output in template["Outputs"].items()
    }
    admin, cluster = task(each, "admin"), each.one("AWS::ECS::Cluster")
    assert outputs["AdminCluster"] == f"{cluster.stack}/{cluster.logical_id}"
    assert outputs["AdminTaskDefinition"] == f"{admin.stack}/{admin.logical_id}"
    (secret,) = (one for one in each.all("AWS::SecretsManager::Secret") if one["Name"].startswith("live-api-key-"))
    assert outputs["LiveKeySecretArn"] == f"{secret.stack}/{secret.logical_id}"
    worker_network = service(each, "worker")["NetworkConfiguration"]["AwsvpcConfiguration"]
    subnets, groups = (
        ",".join(each.resolve(service(each, "worker").stack, worker_network[name]))
        for name in ("Subnets", "SecurityGroups")
    )
    assert outputs["AdminNetwork"] == (
        f"awsvpcConfiguration={{subnets=[{subnets}],securityGroups=[{groups}],assignPublicIp=DISABLED}}"
    )
    runbook = (PROJECT / "docs" / "operations.md").read_text()
    for name in ("AdminCluster", "AdminTaskDefinition", "AdminNetwork", "LiveKeySecretArn"):
        assert name in runbook


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_deployment_keeps_the_old_release(each: Templates, kind: str) -> None:
    deployment = service(each, kind)["DeploymentConfiguration"]
    assert (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (100, 200)
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}


def test_deployment_alarms_exist_before_the_service(each: Templates) -> None:
    api = service(each, "api")
    alarms = api["DeploymentConfiguration"]["Alarms"]
    assert alarms["Enable"] is alarms["Rollback"] is True
    assert len(alarms["AlarmNames"]) == 2
    for name in alarms["AlarmNames"]:
        assert isinstance(name, str), "a reference would make service and alarm depend on each other"
        alarm = each.one("AWS::CloudWatch::Alarm", AlarmName=name)
        assert alarm.stack == api.stack
        assert alarm.logical_id in api.depends_on


@pytest.mark.parametrize("kind", KINDS)
def test_services_leave_task_counts_to_scaling(each: Templates, kind: str) -> None:
    found = service(each, kind)
    assert found["AvailabilityZoneRebalancing"] == "ENABLED"
    assert not found.properties.get("EnableExecuteCommand")
    assert "DesiredCount" not in found.properties, "a deployment would scale in"


@pytest.mark.parametrize(("kind", "least", "most"), [("api", 2, 10), ("worker", 1, 2)])
def test_task_counts_scale_within_limits(each: Templates, kind: str, least: int, most: int) -> None:
    found = service(each, kind)
    targets = [
        target
        for target in each.all("AWS::ApplicationAutoScaling::ScalableTarget")
        if f"{found.stack}/{found.logical_id}.Name" in each.resolve(target.stack, target["ResourceId"])
    ]
    assert [(target["MinCapacity"], target["MaxCapacity"]) for target in targets] == [(least, most)]


def test_the_api_scales_on_cpu_and_on_requests(dev: Templates) -> None:
    metrics = {
        policy["PolicyName"]: policy["TargetTrackingScalingPolicyConfiguration"]
        for policy in dev.all("AWS::ApplicationAutoScaling::ScalingPolicy")
    }
    kinds = {name: found["PredefinedMetricSpecification"]["PredefinedMetricType"] for name, found in metrics.items()}
    assert kinds == {
        "scaling-policy-api-cpu-dev": "ECSServiceAverageCPUUtilization",
        "scaling-policy-api-requests-dev": "ALBRequestCountPerTarget",
        "scaling-policy-worker-cpu-dev": "ECSServiceAverageCPUUtilization",
    }
    assert metrics["scaling-policy-api-requests-dev"]["TargetValue"] == CapacityConfig().request_target


def test_logging_never_blocks_a_payment(each: Templates) -> None:
    for owner in each.all("AWS::ECS::TaskDefinition"):
        for definition in owner["ContainerDefinitions"]:
            options = definition["LogConfiguration"]["Options"]
            assert options["mode"] == "non-blocking"


def test_image_and_task_definition_name_the_same_user() -> None:
    dockerfile = (PROJECT / "service" / "Dockerfile").read_text()
    assert "\nUSER 10001:10001\n" in dockerfile
