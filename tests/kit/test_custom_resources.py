"""Custom resources clean up exactly what they should, and always respond to CloudFormation."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from kit.handlers.custom_resources import handler


@pytest.fixture
def responses(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The responses that the function sends to CloudFormation."""
    sent: list[dict[str, Any]] = []

    class Response:
        def close(self) -> None:
            pass

    def urlopen(request: Any, timeout: float) -> Response:
        assert request.method == "PUT"
        assert request.full_url == "https://cloudformation.example/response"
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
        "ResponseURL": "https://cloudformation.example/response",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Logical",
        "ResourceProperties": {"PhysicalName": "physical", **properties},
    }


@contextmanager
def stubbed(monkeypatch: pytest.MonkeyPatch, service: str) -> Iterator[Stubber]:
    client = boto3.client(
        service,  # type: ignore[call-overload]  # the stubs want a literal
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
def test_the_default_group_loses_both_rules(
    monkeypatch: pytest.MonkeyPatch, responses: list[dict[str, Any]], request_type: str
) -> None:
    with stubbed(monkeypatch, "ec2") as ec2:
        ec2.add_response("revoke_security_group_ingress", {}, {"GroupId": "sg-1", "IpPermissions": INGRESS})
        ec2.add_response("revoke_security_group_egress", {}, {"GroupId": "sg-1", "IpPermissions": EGRESS})
        handler(event("Custom::RestrictDefaultSecurityGroup", request_type, **GROUP), Context())
    assert responses == [
        {
            "Status": "SUCCESS",
            "Reason": "",
            "PhysicalResourceId": "physical",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "Logical",
        }
    ]


def test_missing_rules_are_ignored(monkeypatch: pytest.MonkeyPatch, responses: list[dict[str, Any]]) -> None:
    with stubbed(monkeypatch, "ec2") as ec2:
        ec2.add_client_error("revoke_security_group_ingress", "InvalidPermission.NotFound")
        ec2.add_client_error("revoke_security_group_egress", "InvalidPermission.NotFound")
        handler(event("Custom::RestrictDefaultSecurityGroup", "Create", **GROUP), Context())
    assert responses[0]["Status"] == "SUCCESS"


def test_a_failure_is_reported_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, responses: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with stubbed(monkeypatch, "ec2") as ec2:
        ec2.add_client_error("revoke_security_group_ingress", "UnauthorizedOperation", "not allowed")
        handler(event("Custom::RestrictDefaultSecurityGroup", "Create", **GROUP), Context())
    assert responses[0]["Status"] == "FAILED"
    assert "not allowed" in responses[0]["Reason"]
    assert json.loads(capsys.readouterr().out)["level"] == "error"


def test_deleting_the_resource_leaves_the_group_to_its_vpc(responses: list[dict[str, Any]]) -> None:
    handler(event("Custom::RestrictDefaultSecurityGroup", "Delete", **GROUP), Context())
    assert responses[0]["Status"] == "SUCCESS"


def test_all_versions_and_delete_markers_are_deleted(
    monkeypatch: pytest.MonkeyPatch, responses: list[dict[str, Any]]
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
        handler(event("Custom::AutoDeleteObjects", "Delete", Bucket="logs"), Context())
    assert responses[0]["Status"] == "SUCCESS"


def test_an_empty_or_missing_bucket_succeeds(monkeypatch: pytest.MonkeyPatch, responses: list[dict[str, Any]]) -> None:
    with stubbed(monkeypatch, "s3") as s3:
        s3.add_response("list_object_versions", {"IsTruncated": False}, {"Bucket": "logs"})
        handler(event("Custom::AutoDeleteObjects", "Delete", Bucket="logs"), Context())
    with stubbed(monkeypatch, "s3") as s3:
        s3.add_client_error("list_object_versions", "NoSuchBucket")
        handler(event("Custom::AutoDeleteObjects", "Delete", Bucket="logs"), Context())
    assert [response["Status"] for response in responses] == ["SUCCESS", "SUCCESS"]


def test_an_object_that_cannot_be_deleted_fails_the_deletion(
    monkeypatch: pytest.MonkeyPatch, responses: list[dict[str, Any]]
) -> None:
    with stubbed(monkeypatch, "s3") as s3:
        s3.add_response(
            "list_object_versions",
            {"IsTruncated": False, "Versions": [{"Key": "a", "VersionId": "1"}]},
            {"Bucket": "logs"},
        )
        s3.add_response("delete_objects", {"Errors": [{"Key": "a", "Code": "AccessDenied"}]})
        handler(event("Custom::AutoDeleteObjects", "Delete", Bucket="logs"), Context())
    assert responses[0]["Status"] == "FAILED"
    assert "AccessDenied" in responses[0]["Reason"]


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_a_bucket_is_emptied_only_on_deletion(responses: list[dict[str, Any]], request_type: str) -> None:
    handler(event("Custom::AutoDeleteObjects", request_type, Bucket="logs"), Context())
    assert responses[0]["Status"] == "SUCCESS"


def test_an_unknown_resource_type_fails(responses: list[dict[str, Any]]) -> None:
    handler(event("Custom::Other", "Create"), Context())
    assert (responses[0]["Status"], responses[0]["Reason"][:8]) == ("FAILED", "KeyError")
