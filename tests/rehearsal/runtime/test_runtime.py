"""The runtime runs what the emulated account describes."""

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3.session
import psutil
import pytest

from rehearsal.account import sessions
from rehearsal.emulator.process import EmulatorProcess
from rehearsal.host.errors import RehearsalError
from rehearsal.runtime.controller import RuntimeSettings
from rehearsal.runtime.runtime import ContainerRuntime
from tests.rehearsal.ecs.stand_in import IMAGE
from tests.rehearsal.runtime.account_resources import (
    DATABASE_ENDPOINT,
    associate_web_acl,
    describe_service,
    push_image,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.rehearsal

DATABASE = {
    "endpoint": DATABASE_ENDPOINT,
    "reader_endpoint": "aurora-cluster-dev.cluster-ro-abc.us-east-1.rds.amazonaws.com",
    "username": "owner",
    "password": "secret",
    "database": "app",
}


class ControlClient:
    """A client of the control API, as the emulator is one."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        data = body.encode() if isinstance(body, str) else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._url + path, method=method, data=data)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, ""
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["reason"]


@pytest.fixture
def limitations() -> list[str]:
    """The limitations that the runtime has reported."""
    return []


@pytest.fixture
def runtime(tmp_path: Path, limitations: list[str]) -> Iterator[ContainerRuntime]:
    settings = RuntimeSettings(
        directory=tmp_path / "compute", images=tmp_path / "images", on_limitation=limitations.append
    )
    runtime = ContainerRuntime(settings)
    before = set(threading.enumerate())
    runtime.start()
    yield runtime
    runtime.stop()
    assert not list((tmp_path / "compute" / "processes").glob("*"))
    assert not list((tmp_path / "compute" / "databases").glob("*"))
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "container runtime"]


@pytest.fixture
def call(runtime: ContainerRuntime) -> ControlClient:
    return ControlClient(runtime.control_url)


@pytest.fixture
def account(runtime: ContainerRuntime, emulator: EmulatorProcess) -> boto3.session.Session:
    """An empty account that the runtime is connected to."""
    reset = urllib.request.Request(f"{emulator.url}/_ministack/reset", method="POST")
    urllib.request.urlopen(reset, timeout=20).close()
    session = sessions.open_session(emulator.port)
    runtime.connect(session)
    return session


def get(url: str, ca_file: Path) -> Any:
    with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=ca_file), timeout=20) as response:
        return json.loads(response.read())


@pytest.mark.usefixtures("images")
def test_a_service_is_deployed_updated_and_deleted(
    runtime: ContainerRuntime,
    call: ControlClient,
    account: boto3.session.Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    push_image(account, tmp_path / "images", monkeypatch)
    assert call("PUT", "/databases/aurora-cluster-dev", DATABASE) == (204, "")
    dns_name = describe_service(account, release="1")
    assert call("PUT", "/services/cluster-dev/api") == (204, "")

    endpoint = runtime.endpoints()[dns_name]
    assert runtime.localize({"Url": f"https://{dns_name}/v1"}) == {"Url": f"https://{endpoint.https}/v1"}
    url = f"https://{endpoint.https}"
    assert get(url, runtime.ca_file)["release"] == f"1 appp w{url}", "secrets and names are resolved"
    assert get(f"http://{endpoint.http}/x", runtime.ca_file)["path"] == "/x", "HTTP redirects to HTTPS"

    describe_service(account, release="2")
    assert call("PUT", "/services/cluster-dev/api") == (204, "")
    assert get(url, runtime.ca_file)["release"].startswith("2 ")

    assert call("PUT", "/services/cluster-dev/api/capacity", {"min": 1, "max": 4}) == (204, "")
    (service,) = runtime.status().services
    assert (service.cluster, service.name, service.desired, service.running) == ("cluster-dev", "api", 1, 1)
    assert service.task_definition.endswith("task-definition/task-api-dev:2")
    assert list(runtime.status().databases) == ["aurora-cluster-dev"]

    assert call("DELETE", "/services/cluster-dev/api") == (204, "")
    assert not [pid for pid in service.pids if psutil.pid_exists(pid)]
    elbv2 = account.client("elbv2")
    elbv2.delete_load_balancer(LoadBalancerArn=elbv2.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"])
    assert runtime.endpoints() == {}
    assert call("DELETE", "/databases/aurora-cluster-dev") == (204, "")
    assert runtime.status().databases == {}


@pytest.mark.usefixtures("images")
def test_a_canary_deployment_is_reported_as_a_limitation(
    runtime: ContainerRuntime,
    call: ControlClient,
    account: boto3.session.Session,
    limitations: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    push_image(account, tmp_path / "images", monkeypatch)
    assert call("PUT", "/databases/aurora-cluster-dev", DATABASE) == (204, "")
    dns_name = describe_service(account, release="1")
    assert call("PUT", "/services/cluster-dev/api") == (204, "")
    assert limitations == []
    clients = runtime.endpoints()[dns_name]
    elbv2: Any = account.client("elbv2")
    balancer = elbv2.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    (https,) = (each for each in elbv2.describe_listeners(LoadBalancerArn=balancer)["Listeners"] if each["Port"] == 443)
    elbv2.create_listener(LoadBalancerArn=balancer, Port=9443, Protocol="HTTPS", DefaultActions=https["DefaultActions"])
    account.client("ecs").update_service(
        cluster="cluster-dev", service="api", deploymentConfiguration={"strategy": "CANARY"}
    )
    describe_service(account, release="2")
    assert call("PUT", "/services/cluster-dev/api") == (204, "")
    (limitation,) = limitations
    assert limitation.startswith("service api asks for a CANARY deployment, which only AWS can do")
    assert runtime.endpoints()[dns_name] == clients, "the test listener is not for clients"
    assert get(f"https://{clients.https}", runtime.ca_file)["release"].startswith("2 ")


def test_the_web_acl_of_a_load_balancer_is_applied(
    runtime: ContainerRuntime, call: ControlClient, account: boto3.session.Session
) -> None:
    elbv2: Any = account.client("elbv2")
    balancer = elbv2.create_load_balancer(Name="alb-dev", Type="application")["LoadBalancers"][0]
    arn, dns_name = balancer["LoadBalancerArn"], balancer["DNSName"]
    group = elbv2.create_target_group(Name="api", Protocol="HTTPS", Port=8443)["TargetGroups"][0]["TargetGroupArn"]
    elbv2.create_listener(
        LoadBalancerArn=arn,
        Port=443,
        Protocol="HTTPS",
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    managed = {"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": "AWSManagedRulesSQLiRuleSet"}}
    associate_web_acl(account, arn, managed, name="dev", OverrideAction={"None": {}})
    assert call("PUT", "/load-balancers") == (204, "")
    url = f"https://{runtime.endpoints()[dns_name].https}/"
    with pytest.raises(urllib.error.HTTPError, match="503"):
        get(url, runtime.ca_file)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{url}?q=1'%20or%201=1--", runtime.ca_file)

    geo_match = {"GeoMatchStatement": {"CountryCodes": ["DE"]}}
    associate_web_acl(account, arn, geo_match, name="other", Action={"Block": {}})
    status, reason = call("PUT", "/load-balancers")
    assert status == 409
    assert "web ACL waf-acl-other, rule one: the statement GeoMatchStatement is not supported" in reason


def test_an_unsupported_listener_rule_is_refused(call: ControlClient, account: boto3.session.Session) -> None:
    elbv2: Any = account.client("elbv2")
    balancer = elbv2.create_load_balancer(Name="alb-dev", Type="application")["LoadBalancers"][0]["LoadBalancerArn"]
    fixed = {"StatusCode": "200", "ContentType": "application/json", "MessageBody": "{}"}
    actions = [{"Type": "fixed-response", "FixedResponseConfig": fixed}]
    elbv2.create_listener(LoadBalancerArn=balancer, Port=443, Protocol="HTTPS", DefaultActions=actions)
    reason = "the action fixed-response of a listener rule is not supported by the rehearsal"
    assert call("PUT", "/load-balancers") == (409, reason)


def test_the_cause_of_a_failed_deployment_is_returned(
    call: ControlClient, account: boto3.session.Session, runtime: ContainerRuntime
) -> None:
    describe_service(account, release="1")
    status, reason = call("PUT", "/services/cluster-dev/api")
    assert status == 409
    assert "3 tasks of arn:aws:ecs:us-east-1:000000000000:task-definition/task-api-dev:1 failed" in reason
    assert f"CannotPullContainerError: {IMAGE}" in reason
    assert runtime.status().services == ()


def test_a_missing_service_is_named(call: ControlClient, account: boto3.session.Session) -> None:
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
        ("/databases/x", "not JSON", 400, "is missing or malformed"),
        ("/databases/..%2Fx", DATABASE, 400, "../x"),
        ("/services/c/s/capacity", {"max": 2}, 400, "'min'"),
        ("/services/c/s", {}, 503, "is not connected to an account"),
    ],
    ids=["member", "JSON", "name", "minimum", "account"],
)
def test_a_request_that_fails_has_a_reason(
    call: ControlClient, path: str, body: object, status: int, reason: str
) -> None:
    actual, message = call("PUT", path, body)
    assert actual == status
    assert reason in message


def test_stopping_while_a_database_starts_leaves_nothing(
    runtime: ContainerRuntime, call: ControlClient, tmp_path: Path
) -> None:
    responses: list[object] = []

    def put() -> None:
        try:
            responses.append(call("PUT", "/databases/aurora-cluster-dev", DATABASE))
        except OSError as error:
            responses.append(error)

    request = threading.Thread(target=put)
    request.start()
    log = tmp_path / "compute" / "logs" / "database-aurora-cluster-dev.log"
    wait_until(log.exists, "the start of the database")
    runtime.stop()
    request.join(30)
    assert responses, "the client gets a response"


def test_it_can_be_stopped_more_than_once(tmp_path: Path) -> None:
    runtime = ContainerRuntime(RuntimeSettings(directory=tmp_path / "compute", images=tmp_path / "images"))
    runtime.stop()
    runtime.start()
    runtime.stop()
    runtime.stop()
    with pytest.raises(RehearsalError, match="is not running"):
        runtime.status()
