"""The image gate against the emulator's ECR, with boto3 and the step's own command."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
    """The pipeline's step: its working directory, and its command from the synthesized build specification."""

    folder: Path
    command: str
    emulator: EmulatorProcess

    def publish(self, tag: str, *, pushed: bool = True, result: Mapping[str, object] | None = None) -> None:
        """Make the assembly publish one image; `result` is the result of its scan."""
        if pushed:
            ecr = sessions.open_session(self.emulator.port).client("ecr")
            ecr.put_image(repositoryName=REPOSITORY, imageManifest=json.dumps({"tag": tag}), imageTag=tag)
        if result:
            planted = self.emulator.data / "findings" / f"{tag}.json"
            planted.parent.mkdir(exist_ok=True)
            planted.write_text(json.dumps(result))
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
def synthesized_on_emulator(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    certificate = CONFIGURED["certificate_arn"].replace(TOOLING, ACCOUNT_ID)
    configured = {**CONFIGURED, "account": ACCOUNT_ID, "certificate_arn": certificate}
    return synthesize(tmp_path_factory.mktemp("assembly"), configured, validate=False)


def _bootstrap_lookup_role(port: int, *, trusted: str) -> None:
    """Create the role that `cdk bootstrap --trust-for-lookup` creates."""
    iam = sessions.open_session(port).client("iam")
    name = f"cdk-hnb659fds-lookup-role-{ACCOUNT_ID}-us-east-1"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{trusted}:root"}}
    lookup = {"Effect": "Allow", "Action": ["ecr:Describe*", "ecr:Get*"], "Resource": "*"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    policy = json.dumps({"Version": "2012-10-17", "Statement": [lookup]})
    iam.put_role_policy(RoleName=name, PolicyName="look", PolicyDocument=policy)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(data=tmp_path_factory.mktemp("emulator")) as process:
        sessions.open_session(process.port).client("ecr").create_repository(repositoryName=REPOSITORY)
        _bootstrap_lookup_role(process.port, trusted="111111111111")
        yield process


@pytest.fixture
def step(tmp_path: Path, synthesized_on_emulator: Synthesized, emulator: EmulatorProcess) -> Step:
    """The output of the synth step without the packages, which are the same in this environment."""
    (command,) = synthesized_on_emulator.build_spec("scan-image")["phases"]["build"]["commands"]
    (tmp_path / "pipeline").mkdir()
    shutil.copy(PROJECT / "pipeline" / "__init__.py", tmp_path / "pipeline")
    shutil.copytree(PROJECT / "pipeline" / "jobs", tmp_path / "pipeline" / "jobs")
    shutil.copy(PROJECT / "pipeline" / "gates" / "accepted_vulnerabilities.json", tmp_path)
    (tmp_path / "assembly").mkdir()
    return Step(tmp_path, command, emulator)


def test_a_critical_finding_of_a_finished_scan_stops(step: Step) -> None:
    """A scan in progress has no findings: reading it too early would let the image pass."""
    step.publish("critical", result={"findings": [CRITICAL]})
    finished = step.run()
    assert finished.returncode == 1
    assert "critical (000000000000, us-east-1): 1 findings, 1 stop the pipeline" in finished.stdout
    assert "CVE-2026-0001 https://advisory.example/CVE-2026-0001" in finished.stderr


def test_an_image_with_lesser_findings_passes_twice_a_day(step: Step) -> None:
    step.publish("sound", result={"findings": [{"name": "CVE-2026-0002", "severity": "HIGH"}]})
    for _ in range(2):  # the second time ECR refuses another scan within 24 hours
        finished = step.run()
        assert finished.returncode == 0, finished.stderr
        assert "1 findings, 0 stop the pipeline" in finished.stdout


def test_a_critical_finding_stops_the_next_execution_too(step: Step) -> None:
    step.publish("again", result={"findings": [CRITICAL]})
    assert [step.run().returncode for _ in range(2)] == [1, 1]


def test_a_scan_that_failed_stops(step: Step) -> None:
    step.publish("failed", result={"status": "FAILED"})
    finished = step.run()
    assert finished.returncode == 1
    assert "the scan ended with status FAILED" in finished.stderr


def test_an_image_that_was_never_pushed_stops(step: Step) -> None:
    step.publish("sound")
    step.publish("lost", pushed=False)
    finished = step.run()
    assert finished.returncode == 1
    assert "the scan cannot be started" in finished.stderr
    assert "ImageNotFoundException" in finished.stderr


def test_an_unscanned_image_of_another_account_stops(step: Step) -> None:
    step.publish("elsewhere")
    finished = step.run(TOOLING)
    assert finished.returncode == 1
    assert "no scan can be read" in finished.stderr
    assert "Configure its registry to scan on push" in finished.stderr


def test_an_image_scanned_in_another_account_passes(step: Step) -> None:
    step.publish("scanned")
    ecr = sessions.open_session(step.emulator.port).client("ecr")
    ecr.start_image_scan(repositoryName=REPOSITORY, imageId={"imageTag": "scanned"})
    finished = step.run(TOOLING)
    assert finished.returncode == 0, finished.stderr


@pytest.fixture
def enhanced(emulator: EmulatorProcess) -> Iterator[None]:
    """Configure enhanced scanning, with Amazon Inspector."""
    planted = emulator.data / "findings" / "registry.json"
    planted.parent.mkdir(exist_ok=True)
    planted.write_text('{"scanType": "ENHANCED"}')
    yield
    planted.unlink()


@pytest.mark.usefixtures("enhanced")
@pytest.mark.parametrize(("severity", "exit_status"), [("CRITICAL", 1), ("HIGH", 0)])
def test_findings_of_inspector_count_alike(step: Step, severity: str, exit_status: int) -> None:
    """With enhanced scanning ECR refuses to start a scan: "This feature is disabled"."""
    details = {"vulnerabilityId": "CVE-2026-0001", "vulnerablePackages": [{"name": "openssl", "version": "3.5.7"}]}
    finding = {"severity": severity, "status": "ACTIVE", "packageVulnerabilityDetails": details}
    step.publish(f"inspected-{severity.lower()}", result={"enhancedFindings": [finding]})
    finished = step.run()
    assert finished.returncode == exit_status, finished.stderr
    assert f"1 findings, {exit_status} stop the pipeline" in finished.stdout
