"""Services and databases are deployed by the container runtime, and its failures roll stacks back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3.session
import pytest

from rehearsal.account import sessions
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.runtime_stub import RuntimeStub, runtime_stub
from tests.rehearsal.emulator.stacks import StackFailedError, Stacks, get, ref, resource

pytestmark = pytest.mark.rehearsal

API = "/services/ecs-cluster-dev/ecs-service-api-dev"
WORKER = "/services/ecs-cluster-dev/ecs-service-worker-dev"
DATABASE = "/databases/aurora-cluster-dev"
#: Parts of the errors that these tests cause in the log of the emulator.
EXPECTED_ERRORS = ("exited with 1", "migration 0007", "/none", "no space left", "GeoMatchStatement")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RuntimeStub, EmulatorProcess]]:
    data = tmp_path_factory.mktemp("emulator")
    with runtime_stub() as control, EmulatorProcess(data=data, control_url=control.url) as emulator:
        yield control, emulator
        log = emulator.log.read_text().splitlines()
    errors = [line for line in log if " ERROR " in line or "Traceback" in line]
    assert [line for line in errors if not any(text in line for text in EXPECTED_ERRORS)] == []


@pytest.fixture
def control(running: tuple[RuntimeStub, EmulatorProcess]) -> RuntimeStub:
    running[0].calls.clear()
    running[0].failures.clear()
    return running[0]


@pytest.fixture
def emulator(running: tuple[RuntimeStub, EmulatorProcess]) -> EmulatorProcess:
    return running[1]


@pytest.fixture
def stacks(emulator: EmulatorProcess) -> Stacks:
    return Stacks(emulator.port)


@pytest.fixture
def session(emulator: EmulatorProcess) -> boto3.session.Session:
    return sessions.open_session(emulator.port)


def services(image: str) -> dict[str, Any]:
    resources: dict[str, Any] = {"Cluster": resource("AWS::ECS::Cluster", ClusterName="ecs-cluster-dev")}
    for name in ("api", "worker"):
        resources[f"{name}Task"] = resource(
            "AWS::ECS::TaskDefinition", Family=f"task-{name}-dev", ContainerDefinitions=[{"Name": name, "Image": image}]
        )
        resources[f"{name}Service"] = resource(
            "AWS::ECS::Service",
            ServiceName=f"ecs-service-{name}-dev",
            Cluster=ref("Cluster"),
            TaskDefinition=ref(f"{name}Task"),
            HealthCheckGracePeriodSeconds=60,
        )
    resources["workerService"]["DependsOn"] = "apiService"
    return resources


def images(session: boto3.session.Session) -> list[str]:
    """Return the images of the services' task definitions, api first; services that do not exist are omitted."""
    ecs = session.client("ecs")
    found = ecs.describe_services(
        cluster="ecs-cluster-dev", services=["ecs-service-api-dev", "ecs-service-worker-dev"]
    )["services"]
    definitions = [service["taskDefinition"] for service in found if service["status"] == "ACTIVE"]
    described = [ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"] for arn in definitions]
    assert all(each["status"] == "ACTIVE" for each in described)
    return [each["containerDefinitions"][0]["image"] for each in described]


def test_a_stack_waits_for_its_services(stacks: Stacks, control: RuntimeStub, session: boto3.session.Session) -> None:
    stacks.deploy("service", services("v1"))
    assert control.paths("PUT") == [API, WORKER]
    ecs = session.client("ecs")
    api = ecs.describe_services(cluster="ecs-cluster-dev", services=["ecs-service-api-dev"])["services"][0]
    assert api["healthCheckGracePeriodSeconds"] == 60

    stacks.deploy("service", services("v2"))
    assert control.paths("PUT") == [API, WORKER, API, WORKER]
    assert images(session) == ["v2", "v2"]

    stacks.delete("service")
    assert control.paths("DELETE") == [WORKER, API]


def test_a_failed_first_deployment_leaves_nothing(
    stacks: Stacks, control: RuntimeStub, session: boto3.session.Session
) -> None:
    control.failures[API] = "container api exited with 1"

    reason = "apiService: ECS Deployment Circuit Breaker was triggered: container api exited with 1"
    with pytest.raises(StackFailedError, match=reason):
        stacks.deploy("crash", services("v1"))

    assert stacks.status("crash") == "ROLLBACK_COMPLETE"
    assert control.paths("DELETE") == [API]
    assert not session.client("ecs").list_clusters()["clusterArns"]
    assert not session.client("ecs").list_task_definitions()["taskDefinitionArns"]
    stacks.delete("crash")


@pytest.mark.parametrize("failing", [API, WORKER], ids=["api", "worker"])
def test_a_failed_update_is_rolled_back(
    stacks: Stacks, control: RuntimeStub, session: boto3.session.Session, failing: str
) -> None:
    stacks.deploy("rollback", services("v1"))
    control.failures[failing] = "migration 0007 failed"

    with pytest.raises(StackFailedError, match="migration 0007 failed"):
        stacks.deploy("rollback", services("v2"))

    assert stacks.status("rollback") == "UPDATE_ROLLBACK_COMPLETE"
    assert images(session) == ["v1", "v1"]
    # The rollback deploys a service again if its update succeeded before the other one failed.
    assert control.paths("PUT")[2:] == ([API] if failing == API else [API, WORKER, API])
    control.failures.clear()
    stacks.deploy("rollback", services("v3"))
    assert images(session) == ["v3", "v3"]
    stacks.delete("rollback")


def test_the_capacity_of_a_service_reaches_the_runtime(stacks: Stacks, control: RuntimeStub) -> None:
    def scaled(minimum: int) -> dict[str, Any]:
        target = resource(
            "AWS::ApplicationAutoScaling::ScalableTarget",
            ServiceNamespace="ecs",
            ScalableDimension="ecs:service:DesiredCount",
            ResourceId={"Fn::Sub": "service/${Cluster}/${apiService.Name}"},
            MinCapacity=minimum,
            MaxCapacity=4,
        )
        policy = resource(
            "AWS::ApplicationAutoScaling::ScalingPolicy",
            PolicyName="cpu",
            PolicyType="TargetTrackingScaling",
            ScalingTargetId=ref("Target"),
        )
        return {**services("v1"), "Target": target, "Policy": policy}

    stacks.deploy("scaled", scaled(1))
    stacks.deploy("scaled", scaled(2))

    assert [body for _, path, body in control.calls if path == f"{API}/capacity"] == [
        {"min": 1},
        {"min": 2},
    ]
    stacks.delete("scaled")


def test_a_scalable_target_without_a_service_is_refused(stacks: Stacks, control: RuntimeStub) -> None:
    target = resource(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        ServiceNamespace="ecs",
        ScalableDimension="ecs:service:DesiredCount",
        ResourceId={"Fn::Sub": "service/${Cluster}/none"},
        MinCapacity=1,
        MaxCapacity=2,
    )
    with pytest.raises(StackFailedError, match="ECS service doesn't exist: service/ecs-cluster-dev/none"):
        stacks.deploy("unscaled", {"Cluster": services("v1")["Cluster"], "Target": target})
    stacks.delete("unscaled")


def database() -> dict[str, Any]:
    password = {"Fn::Sub": "{{resolve:secretsmanager:${Owner}:SecretString:password::}}"}
    rules = {"SecretStringTemplate": json.dumps({"username": "owner"}), "GenerateStringKey": "password"}
    return {
        "Owner": resource("AWS::SecretsManager::Secret", Name="db-credentials-dev", GenerateSecretString=rules),
        "Database": resource(
            "AWS::RDS::DBCluster",
            DBClusterIdentifier="aurora-cluster-dev",
            Engine="aurora-postgresql",
            DatabaseName="app",
            MasterUsername="owner",
            MasterUserPassword=password,
        )
        | {"DeletionPolicy": "Delete"},
    }


def test_a_database_runs_behind_its_endpoints(
    stacks: Stacks, control: RuntimeStub, session: boto3.session.Session
) -> None:
    outputs = stacks.deploy(
        "database", database(), {"Endpoint": get("Database", "Endpoint.Address"), "Secret": ref("Owner")}
    )

    (method, path, body), *others = control.calls
    secret = session.client("secretsmanager").get_secret_value(SecretId=outputs["Secret"])["SecretString"]
    assert (method, path, others) == ("PUT", DATABASE, [])
    assert body["endpoint"] == outputs["Endpoint"]
    assert (body["username"], body["database"]) == ("owner", "app")
    assert body["password"] == json.loads(secret)["password"]

    stacks.delete("database")
    assert control.paths("DELETE") == [DATABASE]


def test_a_failed_database_rolls_its_stack_back(
    stacks: Stacks, control: RuntimeStub, session: boto3.session.Session
) -> None:
    control.failures[DATABASE] = "no space left on device"

    with pytest.raises(StackFailedError, match="aurora-cluster-dev could not be started: no space left on device"):
        stacks.deploy("full", database())

    assert stacks.status("full") == "ROLLBACK_COMPLETE"
    assert not session.client("rds").describe_db_clusters()["DBClusters"]
    stacks.delete("full")


def test_without_a_runtime_services_are_records(tmp_path: Path) -> None:
    with EmulatorProcess(data=tmp_path) as emulator:
        Stacks(emulator.port).deploy("service", services("v1"))
        assert images(sessions.open_session(emulator.port)) == ["v1", "v1"]


BALANCER, OTHER = (
    f"arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/{name}/1" for name in ("alb-dev", "alb-two")
)
BODIES = {"blocked": {"ContentType": "APPLICATION_JSON", "Content": "{}"}}


def web_acl(balancer: str = BALANCER, *, limit: int = 100, **acl: object) -> dict[str, Any]:
    metric = {"CloudWatchMetricsEnabled": False, "SampledRequestsEnabled": False, "MetricName": "acl"}
    return {
        "Acl": resource(
            "AWS::WAFv2::WebACL",
            Name="waf-acl-dev",
            Scope="REGIONAL",
            DefaultAction={"Allow": {}},
            VisibilityConfig=metric,
            CustomResponseBodies=BODIES,
            Rules=[
                {
                    "Name": "rate",
                    "Priority": 0,
                    "Action": {"Block": {}},
                    "VisibilityConfig": metric,
                    "Statement": {"RateBasedStatement": {"Limit": limit, "AggregateKeyType": "IP"}},
                }
            ],
            **acl,
        ),
        "Association": resource("AWS::WAFv2::WebACLAssociation", ResourceArn=balancer, WebACLArn=get("Acl", "Arn")),
    }


def test_a_web_acl_is_complete_and_applied_once_associated(
    stacks: Stacks, control: RuntimeStub, session: boto3.session.Session
) -> None:
    def applied() -> Any:
        return session.client("wafv2").get_web_acl_for_resource(ResourceArn=BALANCER)["WebACL"]

    stacks.deploy("web-acl", web_acl())
    assert control.paths("PUT") == ["/load-balancers"]
    assert applied()["CustomResponseBodies"] == BODIES

    stacks.deploy("web-acl", web_acl(limit=200))
    assert control.paths("PUT") == ["/load-balancers"] * 2
    assert applied()["Rules"][0]["Statement"]["RateBasedStatement"]["Limit"] == 200
    assert applied()["CustomResponseBodies"] == BODIES
    stacks.delete("web-acl")


def test_an_unsupported_web_acl_fails_its_association(
    stacks: Stacks, control: RuntimeStub, session: boto3.session.Session
) -> None:
    control.failures["/load-balancers"] = "rule geo: the statement GeoMatchStatement is not supported"
    with pytest.raises(StackFailedError, match=r"Association: .*GeoMatchStatement is not supported"):
        stacks.deploy("web-acl-refused", web_acl(OTHER))
    control.failures.clear()
    with pytest.raises(session.client("wafv2").exceptions.WAFNonexistentItemException):
        session.client("wafv2").get_web_acl_for_resource(ResourceArn=OTHER)
    stacks.delete("web-acl-refused")
