"""Two clean-ups that CloudFormation has no resource for: close a VPC's default security group, empty a bucket.

Runs as an inline function (at most 4,096 characters without this text), and answers CloudFormation itself.
"""

import json
import urllib.request
from typing import Any

import boto3


def close_default_group(event: dict[str, Any], properties: dict[str, Any]) -> None:
    """Take all rules from the default security group, so that what forgets to name a group can reach nothing."""
    if event["RequestType"] == "Delete":
        return  # the group goes with its VPC
    ec2, group = boto3.client("ec2"), properties["GroupId"]
    anywhere: Any = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    itself: Any = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group, "UserId": properties["Account"]}]}
    for revoke, rule in (
        (ec2.revoke_security_group_ingress, itself),
        (ec2.revoke_security_group_egress, anywhere),
    ):
        try:
            revoke(GroupId=group, IpPermissions=[rule])
        except ec2.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "InvalidPermission.NotFound":
                raise


def empty_bucket(event: dict[str, Any], properties: dict[str, Any]) -> None:
    """Delete all versions of all objects before the bucket itself is deleted."""
    if event["RequestType"] != "Delete":
        return
    s3 = boto3.client("s3")
    try:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=properties["Bucket"]):
            found = page.get("Versions", []) + page.get("DeleteMarkers", [])
            objects: Any = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]
            if objects:
                answer = s3.delete_objects(Bucket=properties["Bucket"], Delete={"Objects": objects, "Quiet": True})
                if answer.get("Errors"):
                    raise RuntimeError(f"not deleted: {answer['Errors'][:3]}")
    except s3.exceptions.NoSuchBucket:
        pass


CLEANERS = {"Custom::ClosedDefaultGroup": close_default_group, "Custom::EmptiedBucket": empty_bucket}


def handler(event: dict[str, Any], context: Any) -> None:
    """Do what the resource's type says and tell CloudFormation how it went."""
    properties = event["ResourceProperties"]
    status, reason = "SUCCESS", ""
    try:
        CLEANERS[event["ResourceType"]](event, properties)
    except Exception as error:  # noqa: BLE001 - an unanswered request would hold the stack for an hour
        status, reason = "FAILED", f"{type(error).__name__}: {error} (log stream {context.log_stream_name})"
        print(json.dumps({"level": "error", "message": reason, "request": event["RequestType"]}))  # noqa: T201
    body = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": properties["PhysicalName"],
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    request = urllib.request.Request(  # noqa: S310 - the pre-signed HTTPS address that CloudFormation sent
        event["ResponseURL"], data=json.dumps(body).encode(), method="PUT", headers={"Content-Type": ""}
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
