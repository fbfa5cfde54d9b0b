"""The execution policies and the key policies of the templates suffice to create and delete everything.

Without one action, or one statement of a key policy, the deployment fails and names it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline.bootstrap.policies import FOLDER
from rehearsal.account import sessions
from rehearsal.account.authorization_client import AuthorizationClient, CallDeniedError
from rehearsal.account.sessions import ACCOUNT_ID, Credentials
from rehearsal.emulator.process import EmulatorProcess
from tests.pipeline.conftest import synthesize
from tests.pipeline.model import CONFIGURED, TOOLING
from tests.rehearsal.emulator.stacks import wait_for_stack

pytestmark = [pytest.mark.rehearsal, pytest.mark.xdist_group("permissions"), pytest.mark.takes_minutes]

EXECUTION = f"cdk-hnb659fds-cfn-exec-role-{ACCOUNT_ID}-us-east-1"
DEPLOY = f"cdk-hnb659fds-deploy-role-{ACCOUNT_ID}-us-east-1"
ORDER = ("Network", "Database", "Service", "Monitoring")

Json = dict[str, Any]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """Stack name -> template: the pipeline and one environment, in the order of their deployment."""
    folder = tmp_path_factory.mktemp("permissions")
    configuration = {name: str(value).replace(TOOLING, ACCOUNT_ID) for name, value in CONFIGURED.items()}
    synthesize(folder, {**configuration, "account": ACCOUNT_ID}, validate=False)
    assembly = folder / "assembly-PipelineStack-Dev"
    paths = {f"payment-{name.lower()}-dev": next(assembly.glob(f"*{name}*.template.json")) for name in ORDER}
    paths = {"PipelineStack": folder / "PipelineStack.template.json"} | paths
    return {name: json.loads(path.read_text()) for name, path in paths.items()}


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """An emulated account with the roles of the bootstrap, in which the deploy role deploys."""

    emulator: EmulatorProcess

    @classmethod
    def of(cls, emulator: EmulatorProcess) -> "Bootstrapped":
        session = sessions.open_session(emulator.port)
        iam = session.client("iam")
        for name in ("deploy", "lookup", "file-publishing", "image-publishing"):
            trusted = {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root", "Service": "codepipeline.amazonaws.com"}
            _make_role(iam, f"cdk-hnb659fds-{name}-role-{ACCOUNT_ID}-us-east-1", trusted)
        everything = _document(
            {"Effect": "Allow", "Action": ["cloudformation:*", "s3:*", "iam:PassRole"], "Resource": "*"}
        )
        iam.put_role_policy(RoleName=DEPLOY, PolicyName="deploy", PolicyDocument=everything)
        _make_role(iam, EXECUTION, {"Service": "cloudformation.amazonaws.com"})
        session.client("s3").create_bucket(Bucket="templates")
        session.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
        return cls(emulator=emulator)

    def give(self, policies: Mapping[str, Json]) -> None:
        """Attach these policies to the execution role, and no others."""
        iam = sessions.open_session(self.emulator.port).client("iam")
        for attached in iam.list_attached_role_policies(RoleName=EXECUTION)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=EXECUTION, PolicyArn=attached["PolicyArn"])
            iam.delete_policy(PolicyArn=attached["PolicyArn"])
        for name, document in policies.items():
            arn = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]["Arn"]
            iam.attach_role_policy(RoleName=EXECUTION, PolicyArn=arn)

    @property
    def authorization(self) -> AuthorizationClient:
        return AuthorizationClient(port=self.emulator.port)

    def deploy(self, name: str, template: Json) -> str:
        """Create a stack as the deploy role, with the execution role; return the failures."""
        cloudformation = sessions.open_session(self.emulator.port, credentials=self._deployer()).client(
            "cloudformation"
        )
        body = json.dumps(template).encode()
        sessions.open_session(self.emulator.port).client("s3").put_object(Bucket="templates", Key=name, Body=body)
        stack = cloudformation.create_stack(
            StackName=name,
            TemplateURL=f"{self.emulator.url}/templates/{name}",
            Capabilities=["CAPABILITY_NAMED_IAM"],
            RoleARN=f"arn:aws:iam::{ACCOUNT_ID}:role/{EXECUTION}",
        )["StackId"]
        return self._failures(cloudformation, stack)

    def delete(self, name: str) -> str:
        """Delete a stack if it exists; CloudFormation uses the role that created it."""
        cloudformation = sessions.open_session(self.emulator.port, credentials=self._deployer()).client(
            "cloudformation"
        )
        try:
            stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
        except cloudformation.exceptions.ClientError:
            return ""
        cloudformation.delete_stack(StackName=name)
        return self._failures(cloudformation, stack)

    def _deployer(self) -> Credentials:
        role = f"arn:aws:iam::{ACCOUNT_ID}:role/{DEPLOY}"
        return self.authorization.assume(role, service="codepipeline.amazonaws.com", session="deploy")

    @staticmethod
    def _failures(cloudformation: Any, stack: str) -> str:
        wait_for_stack(cloudformation, stack)
        events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
        return "\n".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed)


def _make_role(iam: Any, name: str, trusted: Json) -> None:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": trusted}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(statement))


def _document(statement: Json) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def shipped(*, without: str = "") -> dict[str, Json]:
    """The execution policies as `make bootstrap` attaches them, without one action."""
    policies = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("execution-policy-*.json"))}
    for document in policies.values():
        for statement in document["Statement"]:
            statement["Action"] = [action for action in statement["Action"] if action != without]
    return policies


def without_key_statement(template: Json, sid: str) -> Json:
    """The template without one statement of its key policy."""
    changed: Json = json.loads(json.dumps(template))
    (key,) = (one for one in changed["Resources"].values() if one["Type"] == "AWS::KMS::Key")
    statements = key["Properties"]["KeyPolicy"]["Statement"]
    key["Properties"]["KeyPolicy"]["Statement"] = [one for one in statements if one.get("Sid") != sid]
    assert len(key["Properties"]["KeyPolicy"]["Statement"]) == len(statements) - 1, f"the key policy has no {sid}"
    return changed


@pytest.fixture(scope="module")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bootstrapped]:
    with EmulatorProcess(data=tmp_path_factory.mktemp("emulator")) as process:
        yield Bootstrapped.of(process)


@pytest.fixture
def account(bootstrapped: Bootstrapped) -> Iterator[Bootstrapped]:
    """The account with the shipped policies; removes the network stack after a test."""
    bootstrapped.give(shipped())
    yield bootstrapped
    bootstrapped.give(shipped())
    bootstrapped.delete("payment-network-dev")


def test_the_shipped_policies_are_enough(account: Bootstrapped, templates: dict[str, Json]) -> None:
    for name, template in templates.items():
        assert account.deploy(name, template) == "", f"{name} cannot be deployed"
    account.authorization.verify_service_calls()
    for name in reversed(templates):
        assert account.delete(name) == "", f"{name} cannot be deleted"
    decided = account.authorization.decisions().entries
    assert [entry for entry in decided if not entry["allowed"]] == []
    execution = [entry for entry in decided if entry["principal"].endswith(EXECUTION)]
    assert len(execution) > 500, "the execution role was hardly used"


@pytest.mark.parametrize("action", ["kms:CreateKey", "logs:CreateLogGroup"], ids=["key", "logs"])
def test_a_missing_action_fails_the_deployment(account: Bootstrapped, templates: dict[str, Json], action: str) -> None:
    account.give(shipped(without=action))
    failures = account.deploy("payment-network-dev", encryption_of(templates["payment-network-dev"]))
    assert f"role/{EXECUTION} is not authorized to perform {action} on " in failures


def test_a_missing_key_statement_fails_log_groups(account: Bootstrapped, templates: dict[str, Json]) -> None:
    network = without_key_statement(encryption_of(templates["payment-network-dev"]), "LogGroups")
    denied = "logs.us-east-1.amazonaws.com is not authorized to perform kms:Encrypt on "
    assert denied in account.deploy("payment-network-dev", network)


@pytest.mark.parametrize(
    ("sid", "action"),
    [("UseThroughServices", "kms:GenerateDataKey"), ("GrantsForServices", "kms:CreateGrant")],
    ids=["use", "grants"],
)
def test_a_missing_key_statement_fails(
    account: Bootstrapped, templates: dict[str, Json], sid: str, action: str
) -> None:
    network = without_key_statement(encryption_of(templates["payment-network-dev"]), sid)
    (key,) = (name for name, one in network["Resources"].items() if one["Type"] == "AWS::KMS::Key")
    named = {"KmsKeyId": {"Fn::GetAtt": [key, "Arn"]}}
    network["Resources"]["Secret"] = {
        "Type": "AWS::SecretsManager::Secret",
        "Properties": {**named, "Name": "db-one", "GenerateSecretString": {}},
    }
    network["Resources"]["Database"] = {
        "Type": "AWS::RDS::DBCluster",
        "DeletionPolicy": "Delete",
        "Properties": {**named, "DBClusterIdentifier": "aurora-cluster-one", "Engine": "aurora-postgresql"},
    }
    denied = f"role/{EXECUTION} is not authorized to perform {action} on arn:aws:kms:"
    assert denied in account.deploy("payment-network-dev", network)


def test_an_alarm_that_cannot_publish_is_found(account: Bootstrapped, templates: dict[str, Json]) -> None:
    network = without_key_statement(encryption_of(templates["payment-network-dev"]), "AlarmsToTopic")
    (topic,) = (name for name, one in network["Resources"].items() if one["Type"] == "AWS::SNS::Topic")
    alarm = {
        "AlarmActions": [{"Ref": topic}],
        "AlarmName": "alarm-one",
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "MetricName": "Errors",
        "Namespace": "One",
        "Period": 60,
        "Statistic": "Sum",
        "Threshold": 1,
    }
    network["Resources"]["Alarm"] = {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm}
    assert account.deploy("payment-network-dev", network) == ""
    with pytest.raises(CallDeniedError, match=r"cloudwatch\.amazonaws\.com is not authorized to perform kms:"):
        account.authorization.verify_service_calls()


def encryption_of(network: Json) -> Json:
    """The template's key and what uses it, which is faster to create than the whole network."""
    kinds = {"AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::SNS::Topic", "AWS::SNS::TopicPolicy"}
    return {"Resources": {name: one for name, one in network["Resources"].items() if one["Type"] in kinds}}
