"""The runtime runs what the emulated account describes, when the emulator's handlers ask it to."""

import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3.session
import psutil
import pytest

from rehearsal.account import sessions
from rehearsal.ecr import docker
from rehearsal.elbv2.load_balancer import Endpoint
from rehearsal.emulator.process import EmulatorProcess
from rehearsal.host.errors import RehearsalError
from rehearsal.runtime.runtime import ComputeRuntime, RuntimeSettings
from tests.rehearsal.ecs.stand_in import IMAGE, container

pytestmark = pytest.mark.rehearsal

REPOSITORY, TAG = IMAGE.rsplit("/", 1)[1].split(":")
HEALTH = {"command": ["CMD-SHELL", "true"]}
DATABASE = {
    "endpoint": "aurora-cluster-dev.cluster-abc.us-east-1.rds.amazonaws.com",
    "reader_endpoint": "aurora-cluster-dev.cluster-ro-abc.us-east-1.rds.amazonaws.com",
    "port": 5432,
    "username": "owner",
    "password": "secret",
    "database": "payments",
}


class Caller:
    """The emulator's side of the control API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        data = body.encode() if isinstance(body, str) else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._url + path, method=method, data=data)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["reason"]


@pytest.fixture
def limits() -> list[str]:
    """What the runtime has said that only AWS can do."""
    return []


@pytest.fixture
def runtime(tmp_path: Path, limits: list[str]) -> Iterator[ComputeRuntime]:
    settings = RuntimeSettings(directory=tmp_path / "compute", images=tmp_path / "images", on_limit=limits.append)
    runtime = ComputeRuntime(settings)
    before = set(threading.enumerate())
    runtime.start()
    yield runtime
    runtime.stop()
    assert not list((tmp_path / "compute" / "processes").glob("*"))
    assert not list((tmp_path / "compute" / "databases").glob("*"))
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "compute runtime"]


@pytest.fixture
def call(runtime: ComputeRuntime) -> Caller:
    return Caller(runtime.control_url)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """The emulator; its own ECS is only a record, as without Docker."""
    with EmulatorProcess(data=tmp_path_factory.mktemp("emulator")) as process:
        yield process


@pytest.fixture
def account(runtime: ComputeRuntime, emulator: EmulatorProcess) -> boto3.session.Session:
    """An empty emulated account that the runtime is connected to."""
    reset = urllib.request.Request(f"{emulator.url}/_ministack/reset", method="POST")
    urllib.request.urlopen(reset, timeout=20).close()
    session = sessions.open_session(emulator.port)
    runtime.connect(session, emulator.url)
    return session


def push_the_stand_in(account: boto3.session.Session, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account.client("ecr").create_repository(repositoryName=REPOSITORY)
    monkeypatch.setenv("REHEARSAL_IMAGES", str(images))
    environment = sessions.subprocess_environment(
        int(account.client("ecr").meta.endpoint_url.rsplit(":", 1)[1]), home=images.parent / "home"
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert docker.main(["push", IMAGE]) == 0


def describe_the_service(account: boto3.session.Session, *, release: str) -> str:
    """Register a task definition, and with the first one everything around it; return the load balancer's DNS name."""
    ecs: Any = account.client("ecs")
    elbv2: Any = account.client("elbv2")
    secrets = account.client("secretsmanager")
    found = elbv2.describe_load_balancers()["LoadBalancers"]
    if not found:
        found = elbv2.create_load_balancer(Name="alb-dev", Type="application")["LoadBalancers"]
        secrets.create_secret(Name="db-credentials-dev", SecretString='{"username": "app", "password": "p w"}')
        account.client("ssm").put_parameter(Name="/dev/flag", Value="on", Type="String")
    dns_name = str(found[0]["DNSName"])
    secret = secrets.describe_secret(SecretId="db-credentials-dev")["ARN"]
    show = "os.environ['PGUSER'] + os.environ['PGPASSWORD'] + os.environ['FLAG'] + os.environ['PUBLIC_BASE_URL']"
    definition = ecs.register_task_definition(
        family="task-api-dev",
        containerDefinitions=[
            container(
                "api",
                f"serve(release='{release} ' + {show})",
                environment=[
                    {"name": "BIND_HOST", "value": "0.0.0.0"},
                    {"name": "PORT", "value": "8443"},
                    {"name": "PGHOST", "value": str(DATABASE["endpoint"])},
                    {"name": "PGPORT", "value": "5432"},
                    {"name": "PUBLIC_BASE_URL", "value": f"https://{dns_name}"},
                ],
                secrets=[
                    {"name": "PGUSER", "valueFrom": f"{secret}:username::"},
                    {"name": "PGPASSWORD", "valueFrom": f"{secret}:password::"},
                    {"name": "FLAG", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/dev/flag"},
                ],
                healthCheck=HEALTH,
            )
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    if ecs.describe_clusters(clusters=["cluster-dev"])["clusters"]:
        ecs.update_service(cluster="cluster-dev", service="api", taskDefinition=definition)
        return dns_name
    group = elbv2.create_target_group(
        Name="api",
        Protocol="HTTPS",
        Port=8443,
        TargetType="ip",
        HealthCheckPath="/healthz",
        HealthCheckProtocol="HTTPS",
    )["TargetGroups"][0]["TargetGroupArn"]
    balancer = found[0]["LoadBalancerArn"]
    certificate = "arn:aws:acm:us-east-1:000000000000:certificate/11111111-1111-1111-1111-111111111111"
    elbv2.create_listener(
        LoadBalancerArn=balancer,
        Port=443,
        Protocol="HTTPS",
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    elbv2.create_listener(
        LoadBalancerArn=balancer,
        Port=80,
        Protocol="HTTP",
        DefaultActions=[{"Type": "redirect", "RedirectConfig": redirect}],
    )
    ecs.create_cluster(clusterName="cluster-dev")
    ecs.create_service(
        cluster="cluster-dev",
        serviceName="api",
        taskDefinition=definition,
        desiredCount=1,
        loadBalancers=[{"targetGroupArn": group, "containerName": "api", "containerPort": 8443}],
    )
    return dns_name


def get(url: str, ca_file: Path) -> Any:
    with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=ca_file), timeout=20) as answer:
        return json.loads(answer.read())


def test_a_described_service_is_served_changed_and_deleted(
    runtime: ComputeRuntime,
    call: Caller,
    account: boto3.session.Session,
    images: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    push_the_stand_in(account, tmp_path / "images", monkeypatch)
    assert call("PUT", "/databases/aurora-cluster-dev", DATABASE) == (204, "")
    dns_name = describe_the_service(account, release="1")
    assert call("PUT", "/services/cluster-dev/api") == (204, "")

    endpoint = runtime.endpoints()[dns_name]
    assert endpoint == Endpoint(https=endpoint.https, http=endpoint.http)
    assert runtime.localize({"Url": f"https://{dns_name}/v1"}) == {"Url": f"https://{endpoint.https}/v1"}
    url = f"https://{endpoint.https}"
    assert get(url, runtime.ca_file)["release"] == f"1 appp won{url}", "secrets, parameters and names are resolved"
    assert get(f"http://{endpoint.http}/x", runtime.ca_file)["path"] == "/x", "HTTP leads to HTTPS"

    describe_the_service(account, release="2")
    assert call("PUT", "/services/cluster-dev/api") == (204, "")
    assert get(url, runtime.ca_file)["release"].startswith("2 ")

    assert call("PUT", "/services/cluster-dev/api/capacity", {"min": 1, "max": 4}) == (204, "")
    (service,) = runtime.status().services
    assert (service.cluster, service.name, service.desired, service.running) == ("cluster-dev", "api", 1, 1)
    assert service.task_definition.endswith("task-definition/task-api-dev:2")
    assert "serving" in runtime.log_tail("cluster-dev", "api")
    assert list(runtime.status().databases) == ["aurora-cluster-dev"]

    assert call("DELETE", "/services/cluster-dev/api") == (204, "")
    assert not [pid for pid in service.pids if psutil.pid_exists(pid)]
    elbv2 = account.client("elbv2")
    elbv2.delete_load_balancer(LoadBalancerArn=elbv2.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"])
    assert runtime.endpoints() == {}
    assert call("DELETE", "/databases/aurora-cluster-dev") == (204, "")
    assert runtime.status().databases == {}


def test_a_canary_deployment_is_a_plain_replacement_that_says_so(
    runtime: ComputeRuntime,
    call: Caller,
    account: boto3.session.Session,
    limits: list[str],
    images: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    push_the_stand_in(account, tmp_path / "images", monkeypatch)
    assert call("PUT", "/databases/aurora-cluster-dev", DATABASE) == (204, "")
    dns_name = describe_the_service(account, release="1")
    assert call("PUT", "/services/cluster-dev/api") == (204, "")
    assert limits == []
    clients = runtime.endpoints()[dns_name]
    elbv2: Any = account.client("elbv2")
    balancer = elbv2.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    (https,) = (one for one in elbv2.describe_listeners(LoadBalancerArn=balancer)["Listeners"] if one["Port"] == 443)
    elbv2.create_listener(LoadBalancerArn=balancer, Port=9443, Protocol="HTTPS", DefaultActions=https["DefaultActions"])
    account.client("ecs").update_service(
        cluster="cluster-dev", service="api", deploymentConfiguration={"strategy": "CANARY"}
    )
    describe_the_service(account, release="2")
    assert call("PUT", "/services/cluster-dev/api") == (204, "")
    (limit,) = limits
    assert limit.startswith("service api asks for a CANARY deployment: only AWS can show one.")
    assert runtime.endpoints()[dns_name] == clients, "the test listener is not for clients"
    assert get(f"https://{clients.https}", runtime.ca_file)["release"].startswith("2 ")


METRIC = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "acl"}


def put_in_front(account: boto3.session.Session, balancer: str, statement: Any, **settings: Any) -> None:
    """Make a web ACL with one rule that blocks, and associate it."""
    wafv2: Any = account.client("wafv2")
    made = wafv2.create_web_acl(
        Name=f"waf-acl-{settings.pop('name')}",
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig=METRIC,
        Rules=[{"Name": "one", "Priority": 0, "Statement": statement, "VisibilityConfig": METRIC, **settings}],
    )["Summary"]
    wafv2.associate_web_acl(WebACLArn=made["ARN"], ResourceArn=balancer)


def test_the_web_acl_of_the_account_stands_in_front(
    runtime: ComputeRuntime, call: Caller, account: boto3.session.Session
) -> None:
    elbv2: Any = account.client("elbv2")
    balancer = elbv2.create_load_balancer(Name="alb-dev", Type="application")["LoadBalancers"][0]
    arn, dns_name = balancer["LoadBalancerArn"], balancer["DNSName"]
    fixed = {"StatusCode": "200", "ContentType": "application/json", "MessageBody": "{}"}
    elbv2.create_listener(
        LoadBalancerArn=arn,
        Port=443,
        Protocol="HTTPS",
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": fixed}],
    )
    managed = {"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": "AWSManagedRulesSQLiRuleSet"}}
    put_in_front(account, arn, managed, name="dev", OverrideAction={"None": {}})
    assert call("PUT", "/load-balancers") == (204, "")
    url = f"https://{runtime.endpoints()[dns_name].https}/"
    assert get(url, runtime.ca_file) == {}
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{url}?q=1'%20or%201=1--", runtime.ca_file)

    geography = {"GeoMatchStatement": {"CountryCodes": ["DE"]}}
    put_in_front(account, arn, geography, name="other", Action={"Block": {}})
    status, reason = call("PUT", "/load-balancers")
    assert status == 409
    assert "web ACL waf-acl-other, rule one: the statement GeoMatchStatement is not known" in reason


def test_a_failed_deployment_is_answered_with_its_cause(
    call: Caller, account: boto3.session.Session, runtime: ComputeRuntime
) -> None:
    describe_the_service(account, release="1")
    status, reason = call("PUT", "/services/cluster-dev/api")
    assert status == 409
    assert "3 tasks of arn:aws:ecs:us-east-1:000000000000:task-definition/task-api-dev:1 failed" in reason
    assert f"CannotPullContainerError: {IMAGE}" in reason
    assert runtime.status().services == ()


def test_what_is_not_there_is_named(call: Caller, account: boto3.session.Session) -> None:
    account.client("ecs").create_cluster(clusterName="cluster-dev")
    assert call("PUT", "/services/cluster-dev/none") == (
        409,
        "the account has no service none in cluster cluster-dev",
    )
    assert call("DELETE", "/services/cluster-dev/none") == (204, "")
    assert call("DELETE", "/databases/none") == (204, "")


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/databases/x", {"username": "owner"}, 400, "'password'"),
        ("/databases/x", "no JSON", 400, "is missing or malformed"),
        ("/databases/..%2Fx", DATABASE, 400, "../x"),
        ("/services/c/s/capacity", {"max": 2}, 400, "'min'"),
        ("/services/c/s", {}, 503, "has not been connected to an account"),
    ],
)
def test_requests_that_cannot_be_carried_out_say_why(
    call: Caller, path: str, body: Any, status: int, reason: str
) -> None:
    answered, why = call("PUT", path, body)
    assert answered == status
    assert reason in why


def test_stopping_while_a_database_starts_leaves_nothing(runtime: ComputeRuntime, call: Caller, tmp_path: Path) -> None:
    answers: list[object] = []

    def put() -> None:
        try:
            answers.append(call("PUT", "/databases/aurora-cluster-dev", DATABASE))
        except OSError as error:
            answers.append(error)

    asking = threading.Thread(target=put)
    asking.start()
    log = tmp_path / "compute" / "logs" / "database-aurora-cluster-dev.log"
    while not log.exists():
        time.sleep(0.005)
    runtime.stop()
    asking.join(30)
    assert answers, "the caller is not left waiting"


def test_it_can_be_stopped_twice_and_then_says_that_it_is_not_running(tmp_path: Path) -> None:
    runtime = ComputeRuntime(RuntimeSettings(directory=tmp_path / "compute", images=tmp_path / "images"))
    runtime.stop()
    runtime.start()
    runtime.stop()
    runtime.stop()
    with pytest.raises(RehearsalError, match="is not running"):
        runtime.status()
