"""Notify people when an environment has drifted from its templates, because somebody changed it by hand.

Runs on a schedule. Drift detection reads with the caller's permissions, hence with the bootstrap's lookup role of each
environment, which may read everything and change nothing.
"""

import json
import os
import time
from typing import Any  # events, clients and API responses

import boto3

STACKS = json.loads(os.environ["STACKS"])
TOPIC, NAME = os.environ["TOPIC"], os.environ["NAME"]
#: Seconds between two status checks.
POLL_SECONDS = 5.0


def client_for(role: str, region: str) -> object:
    """Return a CloudFormation client with the permissions of `role`."""
    credentials = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="drift")["Credentials"]
    return boto3.client(
        "cloudformation",
        region_name=region,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def drift_of(client: Any, stack: str, deadline: float) -> list[str]:
    """Return the drift of a stack as lines of text; a stack that cannot be checked is reported too."""
    try:
        detection = client.detect_stack_drift(StackName=stack)["StackDriftDetectionId"]
        status = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        while status["DetectionStatus"] == "DETECTION_IN_PROGRESS" and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            status = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        if status["DetectionStatus"] != "DETECTION_COMPLETE":
            return [f"{stack}: not checked: {status.get('DetectionStatusReason', status['DetectionStatus'])}"]
        if status["StackDriftStatus"] == "IN_SYNC":
            return []
        drifts = client.describe_stack_resource_drifts(
            StackName=stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
        )["StackResourceDrifts"]
    except client.exceptions.ClientError as error:
        return [f"{stack}: not checked: {error}"]
    return [
        f"{stack}: {drift['ResourceType']} {drift['LogicalResourceId']} {drift['StackResourceDriftStatus'].lower()}"
        + "".join(f"\n  {difference['PropertyPath']}" for difference in drift.get("PropertyDifferences", []))
        for drift in drifts
    ]


def handler(event: dict[str, object], context: Any) -> None:  # noqa: ARG001 - Lambda's signature
    """Check every stack and publish the drift, if there is any."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - 30
    lines = []
    for environment in STACKS:
        client = client_for(environment["role"], environment["region"])
        for name in environment["stacks"]:
            lines += drift_of(client, name, deadline)
    if lines:
        message = "These resources were changed outside the pipeline:\n\n" + "\n".join(lines)
        boto3.client("sns").publish(TopicArn=TOPIC, Subject=f"Drift: {NAME}"[:100], Message=message)
    print(json.dumps({"level": "info", "message": "drift checked", "findings": lines}))  # noqa: T201 - the log
