"""Custom resources: remove the rules of a VPC's default security group; empty a bucket before it is deleted.

Runs as an inline function (at most 4,096 characters without this docstring) and responds to CloudFormation itself.
"""

import json
import urllib.request
from typing import Any  # events and API responses are untyped JSON

import boto3


def restrict_default_security_group(event: dict[str, Any], properties: dict[str, Any]) -> None:
    """Remove the default rules of the group, so that a resource that names no security group can reach nothing."""
    if event["RequestType"] == "Delete":
        return  # the group is deleted with its VPC
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
    """Delete all versions of all objects before CloudFormation deletes the bucket."""
    if event["RequestType"] != "Delete":
        return
    s3 = boto3.client("s3")
    try:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=properties["Bucket"]):
            versions = page.get("Versions", []) + page.get("DeleteMarkers", [])
            objects: Any = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
            if objects:
                result = s3.delete_objects(Bucket=properties["Bucket"], Delete={"Objects": objects, "Quiet": True})
                if result.get("Errors"):
                    raise RuntimeError(f"objects could not be deleted: {result['Errors'][:3]}")
    except s3.exceptions.NoSuchBucket:
        pass


HANDLERS = {
    "Custom::RestrictDefaultSecurityGroup": restrict_default_security_group,
    "Custom::AutoDeleteObjects": empty_bucket,
}


def handler(event: dict[str, Any], context: Any) -> None:
    """Handle the request by its resource type and report the outcome to CloudFormation."""
    properties = event["ResourceProperties"]
    status, reason = "SUCCESS", ""
    try:
        HANDLERS[event["ResourceType"]](event, properties)
    except Exception as error:  # noqa: BLE001 - without a response the stack would hang for an hour
        status, reason = "FAILED", f"{type(error).__name__}: {error} (log stream {context.log_stream_name})"
        print(json.dumps({"level": "error", "message": reason, "request": event["RequestType"]}))  # noqa: T201 - the log
    body = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": properties["PhysicalName"],
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    request = urllib.request.Request(  # noqa: S310 - the pre-signed HTTPS URL that CloudFormation sent
        event["ResponseURL"], data=json.dumps(body).encode(), method="PUT", headers={"Content-Type": ""}
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - as above
