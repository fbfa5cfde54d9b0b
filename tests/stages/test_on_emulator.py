"""On the emulator: two installations coexist, and nothing is left after they are destroyed.

One of them is switched to canary deployments and back in between.
"""

import json
import re
from collections.abc import Iterator, Mapping

import pytest

from rehearsal.account import sessions
from rehearsal.account.inventory import difference, take_inventory
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.stacks import wait_for_stack
from tests.stages.conftest import read, synthesize
from tests.stages.model import Templates

pytestmark = pytest.mark.rehearsal

CERTIFICATE = f"arn:aws:acm:us-east-1:{sessions.ACCOUNT_ID}:certificate/00000000-0000-0000-0000-000000000000"
INSTALLATIONS: Mapping[str, Mapping[str, object]] = {
    name: {
        "environment_suffix": suffix,
        "account": sessions.ACCOUNT_ID,
        "certificate_arn": CERTIFICATE,
    }
    for name, suffix in (("Dev", "dev"), ("Longest", "dev-alice123"))
}
#: The second one again, with another strategy.
SWITCHED = {"Longest": {**INSTALLATIONS["Longest"], "deployment_strategy": "canary"}}
ORDER = ("network", "database", "service", "monitoring")


class Account:
    """The emulated account and its stacks."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self.session = sessions.open_session(emulator.port)
        self._url = emulator.url
        self._records = emulator.data / "records"
        self._cloudformation = self.session.client("cloudformation")
        self.session.client("s3").create_bucket(Bucket="templates")
        self.session.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")

    def inventory(self) -> dict[str, frozenset[str]]:
        """What the account contains, except for the templates that the tests upload."""
        found = take_inventory(self.session, records=self._records)
        return {kind: ids for kind, ids in found.items() if kind != "S3 object"}

    def deploy(self, templates: Templates) -> None:
        for name in sorted(templates.by_stack, key=lambda stack: ORDER.index(stack.split("-")[1])):
            body = json.dumps(templates.by_stack[name])
            self.session.client("s3").put_object(Bucket="templates", Key=name, Body=body.encode())
            self._cloudformation.create_stack(
                StackName=name, TemplateURL=f"{self._url}/templates/{name}", Capabilities=["CAPABILITY_NAMED_IAM"]
            )
            self._wait(name, "CREATE_COMPLETE")

    def update(self, templates: Templates) -> None:
        """Update the stacks whose templates have changed."""
        for name in sorted(templates.by_stack, key=lambda stack: ORDER.index(stack.split("-")[1])):
            if self._cloudformation.get_template(StackName=name)["TemplateBody"] == templates.by_stack[name]:
                continue
            body = json.dumps(templates.by_stack[name])
            self.session.client("s3").put_object(Bucket="templates", Key=name, Body=body.encode())
            self._cloudformation.update_stack(
                StackName=name, TemplateURL=f"{self._url}/templates/{name}", Capabilities=["CAPABILITY_NAMED_IAM"]
            )
            self._wait(name, "UPDATE_COMPLETE")

    def physical_ids(self, stack: str) -> dict[str, str]:
        """Physical by logical id."""
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        return {
            each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
            for page in pages
            for each in page["StackResourceSummaries"]
        }

    def destroy(self, templates: Templates) -> None:
        for name in sorted(templates.by_stack, key=lambda stack: -ORDER.index(stack.split("-")[1])):
            stack_id = self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
            self._cloudformation.delete_stack(StackName=name)
            self._wait(stack_id, "DELETE_COMPLETE")

    def output(self, stack: str, name: str) -> str:
        outputs = self._cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
        return next(str(each["OutputValue"]) for each in outputs if each["OutputKey"] == name)

    def _wait(self, stack: str, wanted: str) -> None:
        status = wait_for_stack(self._cloudformation, stack)
        assert status == wanted, f"{stack} is {status}: {self._failures(stack)}"

    def _failures(self, stack: str) -> list[str]:
        events = self._cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        return [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        ]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with EmulatorProcess(data=tmp_path_factory.mktemp("emulator")) as process:
        yield Account(process)


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Templates]:
    outdir = tmp_path_factory.mktemp("installations")
    synthesize(INSTALLATIONS, outdir, validate=False)
    return read(INSTALLATIONS, outdir)


@pytest.fixture(scope="module")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    outdir = tmp_path_factory.mktemp("switched")
    synthesize(SWITCHED, outdir, validate=False)
    return read(SWITCHED, outdir)["Longest"]


def test_two_installations_coexist_and_leave_nothing(
    account: Account, installations: dict[str, Templates], switched: Templates
) -> None:
    before = account.inventory()
    dev, alice = installations["Dev"], installations["Longest"]
    account.deploy(dev)
    account.deploy(alice)
    try:
        check_deployed(account, dev, "dev")
        check_deployed(account, alice, "dev-alice123")
        check_canary_switch(account, alice, switched)
        account.destroy(dev)
        account.deploy(dev)
    finally:
        account.destroy(dev)
        account.destroy(alice)
    left = difference(before, account.inventory())
    revisions = left.pop("ECS task definition")
    assert left == {}
    describe = account.session.client("ecs").describe_task_definition
    for revision in revisions:  # AWS keeps them, inactive; `make destroy` deletes them
        assert describe(taskDefinition=revision)["taskDefinition"]["status"] == "INACTIVE"


def check_canary_switch(account: Account, before: Templates, after: Templates) -> None:
    """From rolling to canary and back: existing resources are kept, and canary resources are added and removed."""
    stack = "payment-service-dev-alice123"
    rolling = account.physical_ids(stack)
    account.update(after)
    canary = account.physical_ids(stack)
    assert {name: canary[name] for name in rolling} == rolling
    added = [re.sub("[0-9A-F]{8}$", "", name) for name in set(canary) - set(rolling)]
    assert sorted(added) == [
        "CanaryProductionRule",
        "CanaryRole",
        "CanaryRolePolicy",
        "CanaryTargets",
        "CanaryTestRule",
        "CanaryUnhealthyAlternate",
        "IngressLoadBalancerTest",
    ]
    ecs = account.session.client("ecs")
    (service,) = ecs.describe_services(cluster="ecs-cluster-dev-alice123", services=["ecs-service-api-dev-alice123"])[
        "services"
    ]
    assert service["deploymentConfiguration"]["strategy"] == "CANARY"
    account.update(before)
    assert account.physical_ids(stack) == rolling


def check_deployed(account: Account, templates: Templates, suffix: str) -> None:
    """Check what only a deployment shows: generated values, custom resources, a bucket that must be emptied."""
    session = account.session
    arn = account.output(f"payment-service-{suffix}", "SmokeKeySecretArn")
    key = json.loads(session.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])
    assert key["id"] == f"smoke{suffix.replace('-', '')}"
    assert len(key["secret"]) == 48
    assert key["secret"].isalnum()
    vpcs = session.client("ec2").describe_vpcs(Filters=[{"Name": "tag:Name", "Values": [f"vpc-{suffix}"]}])["Vpcs"]
    (vpc,) = (each for each in vpcs if {"Key": "Name", "Value": f"vpc-{suffix}"} in each.get("Tags", []))
    groups = session.client("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    (default,) = groups
    assert default["IpPermissions"] == []
    assert default["IpPermissionsEgress"] == []
    bucket = f"alb-logs-{suffix}-{sessions.ACCOUNT_ID}-us-east-1"
    for text in (b"one", b"two"):
        session.client("s3").put_object(Bucket=bucket, Key="AWSLogs/log.gz", Body=text)
    session.client("s3").delete_object(Bucket=bucket, Key="AWSLogs/log.gz")
