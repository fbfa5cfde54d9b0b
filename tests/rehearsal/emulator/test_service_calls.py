"""Calls of AWS services in their own name are authorized, also those that would fail silently on AWS."""

from collections.abc import Mapping
from typing import Any

import pytest

from rehearsal.account import sessions
from rehearsal.account.authorization_client import AuthorizationClient, CallDeniedError
from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.deployer import allow, trust
from tests.rehearsal.emulator.stacks import Stacks, get, ref, resource

pytestmark = pytest.mark.rehearsal

ROOT = f"arn:aws:iam::{sessions.ACCOUNT_ID}:root"
FUNCTION = {
    "Role": resource(
        "AWS::IAM::Role",
        RoleName="role-function",
        AssumeRolePolicyDocument=trust("lambda.amazonaws.com"),
        Policies=[
            {
                "PolicyName": "logs",
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [allow("logs:CreateLogStream", "logs:PutLogEvents")],
                },
            }
        ],
    ),
    "Function": resource(
        "AWS::Lambda::Function",
        Code={"ZipFile": "def handler(event, context): pass"},
        FunctionName="function-one",
        Handler="index.handler",
        Role=get("Role", "Arn"),
        Runtime="python3.12",
    ),
}


def document(*statements: Mapping[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [*statements]}


def service_statement(service: str, *actions: str, **more: object) -> dict[str, Any]:
    principal = {"Service": service}
    return {"Effect": "Allow", "Principal": principal, "Action": [*actions], "Resource": "*", **more}


def key(*statements: Mapping[str, Any]) -> dict[str, Any]:
    owner = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}
    return resource("AWS::KMS::Key", KeyPolicy=document(owner, *statements))


def topic_policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    return resource("AWS::SNS::TopicPolicy", Topics=[ref("Topic")], PolicyDocument=document(*statements))


def alarm() -> dict[str, Any]:
    return resource(
        "AWS::CloudWatch::Alarm",
        AlarmName="alarm-one",
        AlarmActions=[ref("Topic")],
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        MetricName="Errors",
        Namespace="One",
        Period=60,
        Statistic="Sum",
        Threshold=1,
    )


def rule(target: object) -> dict[str, Any]:
    return resource("AWS::Events::Rule", ScheduleExpression="rate(1 day)", Targets=[{"Arn": target, "Id": "one"}])


PUBLISHING = service_statement("cloudwatch.amazonaws.com", "sns:Publish")
USING = service_statement("cloudwatch.amazonaws.com", "kms:Decrypt", "kms:GenerateDataKey")
ENCRYPTED = resource("AWS::SNS::Topic", TopicName="topic-one", KmsMasterKeyId=get("Key", "Arn"))
TOPIC = resource("AWS::SNS::Topic", TopicName="topic-one")

CASES: Mapping[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "alarm": (
        {
            "Topic": TOPIC,
            "Alarm": alarm(),
            "Policy": topic_policy(service_statement("events.amazonaws.com", "sns:Publish")),
        },
        {"Policy": topic_policy(PUBLISHING)},
        "cloudwatch.amazonaws.com is not authorized to perform sns:Publish on arn:aws:sns:",
    ),
    "topic key": (
        {"Key": key(), "Topic": ENCRYPTED, "Alarm": alarm(), "Policy": topic_policy(PUBLISHING)},
        {"Key": key(USING)},
        "cloudwatch.amazonaws.com is not authorized to perform kms:Decrypt on arn:aws:kms:",
    ),
    "event rule": (
        {**FUNCTION, "Rule": rule(get("Function", "Arn"))},
        {
            "Permission": resource(
                "AWS::Lambda::Permission",
                Action="lambda:InvokeFunction",
                FunctionName=ref("Function"),
                Principal="events.amazonaws.com",
            )
        },
        "events.amazonaws.com is not authorized to perform lambda:InvokeFunction on arn:aws:lambda:",
    ),
    "function log": (
        {
            **FUNCTION,
            "Role": resource(
                "AWS::IAM::Role",
                RoleName="role-function",
                AssumeRolePolicyDocument=trust("lambda.amazonaws.com"),
            ),
        },
        {"Role": FUNCTION["Role"]},
        "role/role-function is not authorized to perform logs:CreateLogStream on arn:aws:logs:",
    ),
    "task role": (
        {
            "Role": resource(
                "AWS::IAM::Role", RoleName="role-task", AssumeRolePolicyDocument=trust("ec2.amazonaws.com")
            ),
            "Task": resource(
                "AWS::ECS::TaskDefinition",
                Family="task-one",
                TaskRoleArn=get("Role", "Arn"),
                ContainerDefinitions=[{"Name": "one", "Image": "one"}],
            ),
        },
        {
            "Role": resource(
                "AWS::IAM::Role", RoleName="role-task", AssumeRolePolicyDocument=trust("ecs-tasks.amazonaws.com")
            )
        },
        "ecs-tasks.amazonaws.com is not authorized to perform sts:AssumeRole on arn:aws:iam::",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_denied_call_is_reported(emulator: EmulatorProcess, case: str) -> None:
    before, corrections, denial = CASES[case]
    stacks, authorization = Stacks(emulator.port), AuthorizationClient(port=emulator.port)
    stacks.deploy("calls", before)
    with pytest.raises(CallDeniedError) as failure:
        authorization.verify_service_calls()
    assert denial in str(failure.value)
    assert "On AWS the deployment would not reveal this." in str(failure.value)
    stacks.deploy("calls", {**before, **corrections})
    authorization.verify_service_calls()
    stacks.delete("calls")


def test_a_deleted_resource_causes_no_calls(emulator: EmulatorProcess) -> None:
    stacks, authorization = Stacks(emulator.port), AuthorizationClient(port=emulator.port)
    stacks.deploy("calls", CASES["event rule"][0])
    with pytest.raises(CallDeniedError):
        authorization.verify_service_calls()
    stacks.delete("calls")
    authorization.verify_service_calls()
