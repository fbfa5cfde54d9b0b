"""Custom resources promise to clean what they are told to, and never to leave CloudFormation without an answer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from kit.custom_resources import inline_source
from kit.handlers import cleaner


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the function sends to CloudFormation."""
    sent: list[dict[str, Any]] = []

    class Response:
        def close(self) -> None:
            pass

    def urlopen(request: Any, timeout: float) -> Response:
        assert request.method == "PUT"
        assert request.full_url == "https://cloudformation.example/answer"
        sent.append(json.loads(request.data))
        return Response()

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return sent


class Context:
    log_stream_name = "stream"


def event(kind: str, request: str, **properties: str) -> dict[str, Any]:
    return {
        "RequestType": request,
        "ResourceType": kind,
        "ResponseURL": "https://cloudformation.example/answer",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Logical",
        "ResourceProperties": {"PhysicalName": "physical", **properties},
    }


@contextmanager
def stubbed(monkeypatch: pytest.MonkeyPatch, service: str) -> Iterator[Stubber]:
    client = boto3.client(
        service,  # type: ignore[call-overload]
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    with monkeypatch.context() as patch, Stubber(client) as stub:
        patch.setattr("boto3.client", lambda name: client)
        yield stub
        stub.assert_no_pending_responses()


GROUP = {"GroupId": "sg-1", "Account": "111111111111"}
INGRESS = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1", "UserId": "111111111111"}]}]
EGRESS = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_the_default_group_loses_both_its_rules(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], request_type: str
) -> None:
    with stubbed(monkeypatch, "ec2") as ec2:
        ec2.add_response("revoke_security_group_ingress", {}, {"GroupId": "sg-1", "IpPermissions": INGRESS})
        ec2.add_response("revoke_security_group_egress", {}, {"GroupId": "sg-1", "IpPermissions": EGRESS})
        cleaner.handler(event("Custom::ClosedDefaultGroup", request_type, **GROUP), Context())
    assert answers == [
        {
            "Status": "SUCCESS",
            "Reason": "",
            "PhysicalResourceId": "physical",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "Logical",
        }
    ]


def test_rules_that_are_gone_already_are_fine(monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]) -> None:
    with stubbed(monkeypatch, "ec2") as ec2:
        ec2.add_client_error("revoke_security_group_ingress", "InvalidPermission.NotFound")
        ec2.add_client_error("revoke_security_group_egress", "InvalidPermission.NotFound")
        cleaner.handler(event("Custom::ClosedDefaultGroup", "Create", **GROUP), Context())
    assert answers[0]["Status"] == "SUCCESS"


def test_a_refusal_is_answered_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with stubbed(monkeypatch, "ec2") as ec2:
        ec2.add_client_error("revoke_security_group_ingress", "UnauthorizedOperation", "not yours")
        cleaner.handler(event("Custom::ClosedDefaultGroup", "Create", **GROUP), Context())
    assert answers[0]["Status"] == "FAILED"
    assert "not yours" in answers[0]["Reason"]
    assert json.loads(capsys.readouterr().out)["level"] == "error"


def test_the_default_group_goes_with_its_vpc(answers: list[dict[str, Any]]) -> None:
    cleaner.handler(event("Custom::ClosedDefaultGroup", "Delete", **GROUP), Context())
    assert answers[0]["Status"] == "SUCCESS"


def test_all_versions_and_markers_of_all_pages_are_deleted(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]
) -> None:
    with stubbed(monkeypatch, "s3") as s3:
        s3.add_response(
            "list_object_versions",
            {
                "IsTruncated": True,
                "NextKeyMarker": "a",
                "NextVersionIdMarker": "1",
                "Versions": [{"Key": "a", "VersionId": "1"}],
            },
            {"Bucket": "logs"},
        )
        s3.add_response(
            "delete_objects",
            {},
            {"Bucket": "logs", "Delete": {"Objects": [{"Key": "a", "VersionId": "1"}], "Quiet": True}},
        )
        s3.add_response(
            "list_object_versions",
            {"IsTruncated": False, "DeleteMarkers": [{"Key": "b", "VersionId": "2"}]},
            {"Bucket": "logs", "KeyMarker": "a", "VersionIdMarker": "1"},
        )
        s3.add_response(
            "delete_objects",
            {},
            {"Bucket": "logs", "Delete": {"Objects": [{"Key": "b", "VersionId": "2"}], "Quiet": True}},
        )
        cleaner.handler(event("Custom::EmptiedBucket", "Delete", Bucket="logs"), Context())
    assert answers[0]["Status"] == "SUCCESS"


def test_an_empty_or_a_missing_bucket_is_fine(monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]) -> None:
    with stubbed(monkeypatch, "s3") as s3:
        s3.add_response("list_object_versions", {"IsTruncated": False}, {"Bucket": "logs"})
        cleaner.handler(event("Custom::EmptiedBucket", "Delete", Bucket="logs"), Context())
    with stubbed(monkeypatch, "s3") as s3:
        s3.add_client_error("list_object_versions", "NoSuchBucket")
        cleaner.handler(event("Custom::EmptiedBucket", "Delete", Bucket="logs"), Context())
    assert [answer["Status"] for answer in answers] == ["SUCCESS", "SUCCESS"]


def test_an_object_that_cannot_be_deleted_fails_the_deletion(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]
) -> None:
    with stubbed(monkeypatch, "s3") as s3:
        s3.add_response(
            "list_object_versions",
            {"IsTruncated": False, "Versions": [{"Key": "a", "VersionId": "1"}]},
            {"Bucket": "logs"},
        )
        s3.add_response("delete_objects", {"Errors": [{"Key": "a", "Code": "AccessDenied"}]})
        cleaner.handler(event("Custom::EmptiedBucket", "Delete", Bucket="logs"), Context())
    assert answers[0]["Status"] == "FAILED"
    assert "AccessDenied" in answers[0]["Reason"]


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_bucket_is_emptied_only_when_it_goes(answers: list[dict[str, Any]], request_type: str) -> None:
    cleaner.handler(event("Custom::EmptiedBucket", request_type, Bucket="logs"), Context())
    assert answers[0]["Status"] == "SUCCESS"


def test_an_unknown_type_is_refused(answers: list[dict[str, Any]]) -> None:
    cleaner.handler(event("Custom::Other", "Create"), Context())
    assert (answers[0]["Status"], answers[0]["Reason"][:8]) == ("FAILED", "KeyError")


def test_the_code_fits_into_a_template() -> None:
    source = inline_source()
    assert len(source) <= 4096
    compile(source, "index.py", "exec")
    assert "def handler(" in source
