"""The image gate against a registry that answers as ECR does: boto3, the emulator, and the step's own command."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rehearsal.account import sessions
from rehearsal.account.sessions import ACCOUNT_ID
from rehearsal.emulator.process import EmulatorProcess
from tests.pipeline.conftest import synthesize
from tests.pipeline.model import CONFIGURED, PROJECT, TOOLING, Synthesized

pytestmark = [pytest.mark.rehearsal, pytest.mark.xdist_group("image-scan")]

REPOSITORY = f"cdk-hnb659fds-container-assets-{ACCOUNT_ID}-us-east-1"
CRITICAL = {"name": "CVE-2026-0001", "severity": "CRITICAL", "uri": "https://advisory.example/CVE-2026-0001"}


@dataclass(frozen=True)
class Step:
    """The step as it is in the pipeline: its folder, and its command out of the synthesized build specification."""

    folder: Path
    command: str
    emulator: EmulatorProcess

    def publish(self, tag: str, *, pushed: bool = True, ends: Mapping[str, Any] | None = None) -> None:
        """Have the assembly publish one image; `ends` is what its scan will come to."""
        if pushed:
            ecr = sessions.open_session(self.emulator.port).client("ecr")
            ecr.put_image(repositoryName=REPOSITORY, imageManifest=json.dumps({"tag": tag}), imageTag=tag)
        if ends:
            planted = self.emulator.data / "findings" / f"{tag}.json"
            planted.parent.mkdir(exist_ok=True)
            planted.write_text(json.dumps(ends))
        destination = {
            "repositoryName": REPOSITORY,
            "imageTag": tag,
            "region": "us-east-1",
            "assumeRoleArn": f"arn:${{AWS::Partition}}:iam::{ACCOUNT_ID}:role/publish",
        }
        manifest = {"dockerImages": {"image": {"destinations": {"here": destination}}}}
        (self.folder / "assembly" / "stack.assets.json").write_text(json.dumps(manifest))

    def run(self, account: str = ACCOUNT_ID) -> "subprocess.CompletedProcess[str]":
        """Run the command as CodeBuild would, in a pipeline of `account`."""
        return subprocess.run(
            ["bash", "-c", self.command.replace(ACCOUNT_ID, account)],
            cwd=self.folder,
            env=sessions.subprocess_environment(self.emulator.port, home=self.folder / "home", account=account),
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def synthesized_here(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    certificate = CONFIGURED["certificate_arn"].replace(TOOLING, ACCOUNT_ID)
    here = {**CONFIGURED, "account": ACCOUNT_ID, "certificate_arn": certificate}
    return synthesize(tmp_path_factory.mktemp("assembly"), here)


def _bootstrap_lookup_role(port: int, *, trusted: str) -> None:
    """The role of `cdk bootstrap --trust-for-lookup`."""
    iam = sessions.open_session(port).client("iam")
    name = f"cdk-hnb659fds-lookup-role-{ACCOUNT_ID}-us-east-1"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{trusted}:root"}}
    looking = {"Effect": "Allow", "Action": ["ecr:Describe*", "ecr:Get*"], "Resource": "*"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    policy = json.dumps({"Version": "2012-10-17", "Statement": [looking]})
    iam.put_role_policy(RoleName=name, PolicyName="look", PolicyDocument=policy)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(data=tmp_path_factory.mktemp("emulator")) as process:
        sessions.open_session(process.port).client("ecr").create_repository(repositoryName=REPOSITORY)
        _bootstrap_lookup_role(process.port, trusted="111111111111")
        yield process


@pytest.fixture
def step(tmp_path: Path, synthesized_here: Synthesized, emulator: EmulatorProcess) -> Step:
    """What the synth step hands over, without the packages: those of this environment are the same."""
    (command,) = synthesized_here.build_spec("scan-image")["phases"]["build"]["commands"]
    (tmp_path / "pipeline").mkdir()
    shutil.copy(PROJECT / "pipeline" / "__init__.py", tmp_path / "pipeline")
    shutil.copytree(PROJECT / "pipeline" / "jobs", tmp_path / "pipeline" / "jobs")
    shutil.copy(PROJECT / "pipeline" / "gates" / "accepted_vulnerabilities.json", tmp_path)
    (tmp_path / "assembly").mkdir()
    return Step(tmp_path, command, emulator)


def test_a_scan_is_started_and_waited_for_and_its_critical_finding_stops(step: Step) -> None:
    """While a scan is in progress it shows no findings: reading too early would let the image pass."""
    step.publish("critical", ends={"findings": [CRITICAL]})
    finished = step.run()
    assert finished.returncode == 1
    assert "critical (000000000000, us-east-1): 1 findings, 1 stop the pipeline" in finished.stdout
    assert "CVE-2026-0001 https://advisory.example/CVE-2026-0001" in finished.stderr


def test_an_image_with_lesser_findings_passes_and_todays_scan_is_used_again(step: Step) -> None:
    step.publish("sound", ends={"findings": [{"name": "CVE-2026-0002", "severity": "HIGH"}]})
    for _ in range(2):  # the second time ECR refuses another scan within 24 hours
        finished = step.run()
        assert finished.returncode == 0, finished.stderr
        assert "1 findings, 0 stop the pipeline" in finished.stdout


def test_a_scan_of_today_that_found_something_critical_stops_the_second_execution_too(step: Step) -> None:
    step.publish("again", ends={"findings": [CRITICAL]})
    assert [step.run().returncode for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE"])
def test_a_scan_that_failed_stops(step: Step, status: str) -> None:
    step.publish(status.lower(), ends={"status": status})
    finished = step.run()
    assert finished.returncode == 1
    assert f"the scan ended in {status}" in finished.stderr


def test_an_image_that_was_never_pushed_stops(step: Step) -> None:
    step.publish("sound")
    step.publish("lost", pushed=False)
    finished = step.run()
    assert finished.returncode == 1
    assert "no scan could be started" in finished.stderr
    assert "ImageNotFoundException" in finished.stderr


def test_an_image_of_another_account_that_nobody_scanned_stops(step: Step) -> None:
    step.publish("elsewhere")
    finished = step.run(TOOLING)
    assert finished.returncode == 1
    assert "there is no scan to read" in finished.stderr
    assert "Have its registry scan on push" in finished.stderr


def test_an_image_that_another_accounts_registry_scanned_on_push_passes(step: Step) -> None:
    step.publish("scanned")
    ecr = sessions.open_session(step.emulator.port).client("ecr")
    ecr.start_image_scan(repositoryName=REPOSITORY, imageId={"imageTag": "scanned"})
    finished = step.run(TOOLING)
    assert finished.returncode == 0, finished.stderr


@pytest.fixture
def enhanced(emulator: EmulatorProcess) -> Iterator[None]:
    """Have Amazon Inspector scan the registry."""
    planted = emulator.data / "findings" / "registry.json"
    planted.parent.mkdir(exist_ok=True)
    planted.write_text('{"scanType": "ENHANCED"}')
    yield
    planted.unlink()


@pytest.mark.usefixtures("enhanced")
@pytest.mark.parametrize(("severity", "exit_status"), [("CRITICAL", 1), ("HIGH", 0)])
def test_findings_of_amazon_inspector_are_waited_for_and_judged_alike(
    step: Step, severity: str, exit_status: int
) -> None:
    """A registry with enhanced scanning refuses to start a scan: "This feature is disabled"."""
    details = {"vulnerabilityId": "CVE-2026-0001", "vulnerablePackages": [{"name": "openssl", "version": "3.5.7"}]}
    finding = {"severity": severity, "status": "ACTIVE", "packageVulnerabilityDetails": details}
    step.publish(f"inspected-{severity.lower()}", ends={"enhancedFindings": [finding]})
    finished = step.run()
    assert finished.returncode == exit_status, finished.stderr
    assert f"1 findings, {exit_status} stop the pipeline" in finished.stdout
