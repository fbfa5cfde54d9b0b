"""Programs of the steps after the synth step: the change report's command, and the smoke key."""

import ast
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pipeline.builds import REPORT_VARIABLES
from pipeline.jobs import change_report, with_smoke_key
from tests.pipeline.model import PROJECT


class Aws:
    """A fake of the AWS APIs that the programs call; records which roles were assumed."""

    def __init__(self) -> None:
        self.assumed: list[str] = []
        self.stacks: dict[str, tuple[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self.certificates: dict[str, tuple[str, str, str]] = {}
        self.denied = ""

    def client(self, service: str, **_: object) -> Any:
        return type(service, (), {"__getattr__": lambda _, call: getattr(self, call)})()

    def assume_role(self, **request: Any) -> Any:
        role = request["RoleArn"]
        if role == self.denied:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "AssumeRole")
        self.assumed.append(role)
        return {"Credentials": {"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c"}}

    def describe_stacks(self, **request: object) -> object:
        name = request["StackName"]
        if name not in self.stacks:
            message = f"Stack with id {name} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        if self.stacks[name][0] == "DENIED":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks")
        return {"Stacks": [{"StackStatus": self.stacks[name][0]}]}

    def get_template(self, **request: Any) -> object:
        assert request["TemplateStage"] == "Original"
        return {"TemplateBody": self.stacks[request["StackName"]][1]}

    def describe_certificate(self, **request: Any) -> object:
        kind, name, _ = self.certificates[request["CertificateArn"]]
        return {"Certificate": {"Type": kind, "DomainName": name}}

    def get_certificate(self, **request: Any) -> object:
        return {"Certificate": self.certificates[request["CertificateArn"]][2]}

    def get_secret_value(self, **request: Any) -> object:
        return {"SecretString": self.secrets[request["SecretId"]]}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    fake = Aws()
    monkeypatch.setattr(boto3, "client", fake.client)
    monkeypatch.setattr(boto3, "Session", lambda **_: SimpleNamespace(client=fake.client))
    return fake


TEMPLATE = {"Resources": {"Cluster": {"Type": "AWS::RDS::DBCluster", "Properties": {"DBClusterIdentifier": "one"}}}}
OTHER = {"Resources": {"Cluster": {"Type": "AWS::RDS::DBCluster", "Properties": {"DBClusterIdentifier": "two"}}}}


class Workspace:
    """The working directory of a change report's build."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "assembly").mkdir()
        artifacts: dict[str, Any] = {"Assets": {"type": "cdk:asset-manifest"}}
        for name, earlier in (("service", ["database", "Assets"]), ("database", [])):
            artifacts[name] = {
                "type": "aws:cloudformation:stack",
                "environment": "aws://222222222222/eu-west-1",
                "dependencies": earlier,
                "properties": {
                    "stackName": f"payment-{name}-prod",
                    "templateFile": f"{name}.template.json",
                    "lookupRole": {"arn": "arn:${AWS::Partition}:iam::222222222222:role/lookup"},
                },
            }
            (folder / "assembly" / f"{name}.template.json").write_text(json.dumps(TEMPLATE))
        (folder / "assembly" / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
        (folder / "create-only.json").write_text(
            json.dumps({"AWS::RDS::DBCluster": {"createOnly": ["/properties/DBClusterIdentifier"]}})
        )
        self.commit("Change something")

    def commit(self, message: str) -> None:
        (self.folder / "message.txt").write_text(message)

    def run(self, **environ: str) -> int:
        paths = {
            "--assembly": "assembly",
            "--create-only": "create-only.json",
            "--message": "message.txt",
            "--output": "report",
        }
        arguments = [part for name, path in paths.items() for part in (name, str(self.folder / path))]
        return change_report.main(["prod", *arguments], environ)

    def read(self, name: str) -> str:
        return (self.folder / "report" / name).read_text()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_first_deployment_consists_of_new_stacks(aws: Aws, workspace: Workspace) -> None:
    aws.stacks["payment-service-prod"] = ("ROLLBACK_COMPLETE", TEMPLATE)  # its creation failed
    assert workspace.run() == 0
    lines = workspace.read("report.txt").splitlines()
    assert lines == [
        "Changes of prod",
        "payment-database-prod: new, 1 resources",
        "payment-service-prod: new, 1 resources",
    ]
    assert set(aws.assumed) == {"arn:aws:iam::222222222222:role/lookup"}


def test_every_exported_variable_has_its_file(aws: Aws, workspace: Workspace) -> None:
    assert workspace.run() == 0
    assert all((workspace.folder / "report" / file).is_file() for file in REPORT_VARIABLES.values())


def test_an_unchanged_environment_is_reported_as_such(aws: Aws, workspace: Workspace) -> None:
    for name in ("database", "service"):
        aws.stacks[f"payment-{name}-prod"] = ("UPDATE_COMPLETE", json.dumps(TEMPLATE))
    assert workspace.run() == 0
    assert workspace.read("summary.txt") == "prod: no change"


def test_a_database_is_replaced_only_if_the_commit_message_permits_it(
    aws: Aws, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.stacks["payment-database-prod"] = ("UPDATE_COMPLETE", OTHER)
    assert workspace.run() == 1
    assert "Replaces: payment-database-prod/Cluster" in capsys.readouterr().err
    assert "LOSES DATA" in workspace.read("summary.txt")
    workspace.commit("Start over\n\nReplaces: payment-database-prod/Other\n")
    assert workspace.run() == 1
    workspace.commit("Start over\n\nReplaces: payment-database-prod/Cluster\n")
    assert workspace.run() == 0


def test_an_unreadable_stack_is_a_failure(aws: Aws, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    aws.stacks["payment-database-prod"] = ("DENIED", TEMPLATE)
    assert workspace.run() == 1
    assert "the deployed stacks of prod cannot be read" in capsys.readouterr().err
    aws.stacks.clear()
    aws.denied = "arn:aws:iam::222222222222:role/lookup"
    assert workspace.run() == 1
    assert "--trust-for-lookup" in capsys.readouterr().err


def test_the_approver_gets_the_url_of_the_report(aws: Aws, workspace: Workspace) -> None:
    assert workspace.run() == 0
    assert workspace.read("url.txt") == ""
    build = "project-changes-prod-main:1-2"
    arn = f"arn:aws:codebuild:us-east-1:111111111111:build/{build}"
    assert workspace.run(CODEBUILD_BUILD_ARN=arn, CODEBUILD_BUILD_ID=build) == 0
    assert workspace.read("url.txt") == (
        "https://us-east-1.console.aws.amazon.com/codesuite/codebuild/111111111111/projects/project-changes-prod-main"
        "/build/project-changes-prod-main%3A1-2"
    )


ENVIRONMENT = {"SMOKE_ROLE_ARN": "reader", "SMOKE_SECRET_NAME": "smoke-api-key-dev", "SMOKE_REGION": "us-east-1"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return ENVIRONMENT


def test_only_the_command_gets_the_smoke_key(
    aws: Aws, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.secrets["smoke-api-key-dev"] = json.dumps({"id": "smokedev", "secret": "hidden"})
    started: list[Any] = []
    monkeypatch.setattr(os, "execvpe", lambda *call: started.append(call))
    run: Any = with_smoke_key.main  # it returns only because execvpe is replaced
    run(["python", "-m", "integ"])
    ((program, arguments, variables),) = started
    assert (program, arguments) == ("python", ["python", "-m", "integ"])
    assert (variables["SMOKE_KEY_ID"], variables["SMOKE_KEY_SECRET"]) == ("smokedev", "hidden")
    assert aws.assumed == ["reader"]
    assert "SMOKE_KEY_SECRET" not in os.environ


@pytest.mark.parametrize(("kind", "trusted"), [("IMPORTED", True), ("AMAZON_ISSUED", False)])
def test_without_a_domain_the_certificate_decides(
    aws: Aws, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, kind: str, trusted: bool
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CA_BUNDLE", raising=False)
    aws.secrets["smoke-api-key-dev"] = json.dumps({"id": "smokedev", "secret": "hidden"})
    aws.certificates["arn"] = (kind, "payments.internal", "-----BEGIN CERTIFICATE-----")
    variables = with_smoke_key.read_smoke_key({**environment, "CERTIFICATE_ARN": "arn"})
    assert variables["TLS_SERVER_NAME"] == "payments.internal"
    assert ("CA_BUNDLE" in variables) == trusted
    if trusted:
        bundle = Path(variables["CA_BUNDLE"])
        assert bundle.read_text().rstrip().endswith("-----BEGIN CERTIFICATE-----")
        assert bundle.read_text().count("BEGIN CERTIFICATE") > 100, "public roots as well"
        bundle.unlink()


@pytest.mark.parametrize(
    "given", [{}, {"CERTIFICATE_ARN": "arn", "REQUESTS_CA_BUNDLE": "roots.pem"}], ids=["no certificate", "roots"]
)
def test_configured_roots_stay_in_force(aws: Aws, environment: Mapping[str, str], given: Mapping[str, str]) -> None:
    aws.secrets["smoke-api-key-dev"] = json.dumps({"id": "smokedev", "secret": "hidden"})
    variables = with_smoke_key.read_smoke_key({**environment, **given})
    assert set(variables) == {"SMOKE_KEY_ID", "SMOKE_KEY_SECRET"}


@pytest.mark.parametrize("value", ["hidden", '{"id": "smokedev"}', "[]"], ids=["text", "incomplete", "list"])
def test_a_malformed_secret_is_named_and_not_shown(aws: Aws, environment: Mapping[str, str], value: str) -> None:
    aws.secrets["smoke-api-key-dev"] = value
    with pytest.raises(SystemExit, match="smoke-api-key-dev is not a JSON object") as ended:
        with_smoke_key.main(["true"])
    assert "hidden" not in str(ended.value)


def test_a_denied_role_is_named(aws: Aws, environment: Mapping[str, str]) -> None:
    aws.denied = "reader"
    with pytest.raises(SystemExit, match="could not be read as reader"):
        with_smoke_key.main(["true"])


def test_missing_variables_and_commands_are_named(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit, match="SMOKE_ROLE_ARN, SMOKE_SECRET_NAME, SMOKE_REGION is not set"):
        with_smoke_key.main(["true"])
    with pytest.raises(SystemExit, match="Usage"):
        with_smoke_key.main([])


def test_steps_have_all_packages_that_their_programs_import() -> None:
    """The synth step passes on `pipeline/jobs` and `integ`, and nothing else of the project."""
    allowed = {
        *sys.stdlib_module_names,
        "boto3",
        "botocore",
        "requests",
        "mypy_boto3_acm",
        "mypy_boto3_cloudformation",
        "mypy_boto3_ecr",
    }
    for path in [*(PROJECT / "pipeline" / "jobs").rglob("*.py"), *(PROJECT / "integ").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                own = name.startswith(("pipeline.jobs", "integ"))
                assert own or name.split(".")[0] in allowed, (path, name)
