"""Tells people when an environment is no longer what its templates say, because somebody changed it by hand.

Runs on a schedule. Drift detection reads with the caller's rights, hence with the bootstrap's lookup role of each
environment, which may look at everything and touch nothing.
"""

import json
import os
import time
from typing import Any

import boto3

STACKS = json.loads(os.environ["STACKS"])
TOPIC, NAME = os.environ["TOPIC"], os.environ["NAME"]
PAUSE = 5.0


def reader(role: str, region: str) -> Any:
    """A CloudFormation client that reads with `role`."""
    granted = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="drift")["Credentials"]
    return boto3.client(
        "cloudformation",
        region_name=region,
        aws_access_key_id=granted["AccessKeyId"],
        aws_secret_access_key=granted["SecretAccessKey"],
        aws_session_token=granted["SessionToken"],
    )


def drift_of(client: Any, stack: str, deadline: float) -> list[str]:
    """What differs in a stack, as lines; a stack that cannot be examined is a line too."""
    try:
        detection = client.detect_stack_drift(StackName=stack)["StackDriftDetectionId"]
        status = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        while status["DetectionStatus"] == "DETECTION_IN_PROGRESS" and time.monotonic() < deadline:
            time.sleep(PAUSE)
            status = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        if status["DetectionStatus"] != "DETECTION_COMPLETE":
            return [f"{stack}: not examined: {status.get('DetectionStatusReason', status['DetectionStatus'])}"]
        if status["StackDriftStatus"] == "IN_SYNC":
            return []
        found = client.describe_stack_resource_drifts(
            StackName=stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
        )["StackResourceDrifts"]
    except client.exceptions.ClientError as error:
        return [f"{stack}: not examined: {error}"]
    return [
        f"{stack}: {one['ResourceType']} {one['LogicalResourceId']} {one['StackResourceDriftStatus'].lower()}"
        + "".join(f"\n  {each['PropertyPath']}" for each in one.get("PropertyDifferences", []))
        for one in found
    ]


def handler(event: dict[str, Any], context: Any) -> None:  # noqa: ARG001 - Lambda's signature
    """Examine every stack, and publish what was found, if anything."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - 30
    lines = []
    for one in STACKS:
        client = reader(one["role"], one["region"])
        for name in one["stacks"]:
            lines += drift_of(client, name, deadline)
    if lines:
        message = "Somebody or something changed these outside of the pipeline:\n\n" + "\n".join(lines)
        boto3.client("sns").publish(TopicArn=TOPIC, Subject=f"Drift: {NAME}"[:100], Message=message)
    print(json.dumps({"level": "info", "message": "drift examined", "findings": lines}))  # noqa: T201 - its log
