"""Operations that the emulator lacks return what AWS returns."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.account import sessions
from rehearsal.account.records import Records
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.roles import Account, statement

if TYPE_CHECKING:
    from mypy_boto3_ecr.client import ECRClient

pytestmark = pytest.mark.rehearsal


@pytest.fixture
def ecr(emulator: EmulatorProcess) -> "ECRClient":
    return sessions.open_session(emulator.port).client("ecr")


def push(ecr: "ECRClient", repository: str, tag: str) -> dict[str, Any]:
    ecr.create_repository(repositoryName=repository)
    ecr.put_image(repositoryName=repository, imageManifest=json.dumps({"tag": tag}), imageTag=tag)
    return {"repositoryName": repository, "imageId": {"imageTag": tag}}


def test_an_image_scan_finds_nothing(ecr: "ECRClient") -> None:
    image = push(ecr, "clean", "v1")
    with pytest.raises(ClientError, match="ScanNotFoundException"):
        ecr.describe_image_scan_findings(**image)

    assert ecr.start_image_scan(**image)["imageScanStatus"]["status"] == "IN_PROGRESS"

    assert ecr.describe_image_scan_findings(**image)["imageScanStatus"]["status"] == "IN_PROGRESS"
    done = ecr.describe_image_scan_findings(**image)
    assert done["imageScanStatus"]["status"] == "COMPLETE"
    assert done["imageScanFindings"]["findings"] == []
    with pytest.raises(ClientError, match="LimitExceededException"):
        ecr.start_image_scan(**image)


def test_an_image_scan_returns_the_findings_of_a_file(ecr: "ECRClient", emulator: EmulatorProcess) -> None:
    image = push(ecr, "vulnerable", "v2")
    (emulator.data / "findings").mkdir()
    finding = {"name": "CVE-2026-0001", "severity": "CRITICAL"}
    (emulator.data / "findings" / "v2.json").write_text(json.dumps({"findings": [finding]}))
    ecr.start_image_scan(**image)

    ecr.get_waiter("image_scan_complete").wait(**image, WaiterConfig={"Delay": 0})

    found = ecr.describe_image_scan_findings(**image)["imageScanFindings"]
    assert found["findingSeverityCounts"] == {"CRITICAL": 1}
    assert [each["name"] for each in found["findings"]] == ["CVE-2026-0001"]


def test_a_missing_image_cannot_be_scanned(ecr: "ECRClient") -> None:
    ecr.create_repository(repositoryName="empty")

    with pytest.raises(ClientError, match="ImageNotFoundException"):
        ecr.start_image_scan(repositoryName="empty", imageId={"imageTag": "v1"})
    with pytest.raises(ClientError, match="RepositoryNotFoundException"):
        ecr.start_image_scan(repositoryName="missing", imageId={"imageTag": "v1"})


def test_a_recorded_pipeline_is_described(emulator: EmulatorProcess) -> None:
    type_id = {"Category": "Source", "Owner": "AWS", "Provider": "CodeStarSourceConnection", "Version": "1"}
    action = {"Name": "Push", "ActionTypeId": type_id, "RunOrder": 1, "Configuration": {"BranchName": "main"}}
    stages = [{"Name": "Source", "Actions": [action]}, {"Name": "Build", "Actions": [{**action, "Name": "Synth"}]}]
    properties = {"Name": "pipeline-main", "RoleArn": "arn:aws:iam::0:role/p", "PipelineType": "V2", "Stages": stages}
    Records(emulator.data / "records").write("AWS::CodePipeline::Pipeline", "pipeline-main", properties)
    codepipeline = sessions.open_session(emulator.port).client("codepipeline")

    described = codepipeline.get_pipeline(name="pipeline-main")["pipeline"]

    assert described["pipelineType"] == "V2"
    assert described["stages"][0]["actions"][0]["actionTypeId"]["provider"] == "CodeStarSourceConnection"
    assert described["stages"][0]["actions"][0]["configuration"] == {"BranchName": "main"}
    with pytest.raises(ClientError, match="PipelineNotFoundException"):
        codepipeline.get_pipeline(name="pipeline-other")


def test_these_operations_are_authorized(account: Account) -> None:
    session = account.session_of(account.create_role("scanner", statement("ecr:GetRegistryScanningConfiguration")))
    assert session.client("ecr").get_registry_scanning_configuration()["scanningConfiguration"]["scanType"] == "BASIC"
    with pytest.raises(ClientError, match="is not authorized to perform ecr:StartImageScan on arn:aws:ecr:"):
        session.client("ecr").start_image_scan(repositoryName="any", imageId={"imageTag": "v1"})
    with pytest.raises(ClientError, match="is not authorized to perform codepipeline:GetPipeline on arn:aws:codepip"):
        session.client("codepipeline").get_pipeline(name="pipeline-main")
