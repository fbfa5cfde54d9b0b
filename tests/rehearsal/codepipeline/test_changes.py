"""The approver reads what a deployment would change."""

from typing import Any

from rehearsal.codepipeline.changes import describe


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


def test_a_new_stack_is_called_new() -> None:
    assert describe("network", {}, {"Vpc": resource("AWS::EC2::VPC")}) == "network: new, 1 resources"


def test_an_equal_stack_is_called_unchanged() -> None:
    same = {"Vpc": resource("AWS::EC2::VPC")}
    assert describe("network", same, dict(same)) == "network: no change"


def test_changed_and_removed_resources_are_named_by_type_and_id() -> None:
    before = {"Task": resource("AWS::ECS::TaskDefinition", Cpu=1), "Old": resource("AWS::SNS::Topic")}
    after = {"Task": resource("AWS::ECS::TaskDefinition", Cpu=2), "New": resource("AWS::SQS::Queue")}
    assert describe("service", before, after) == (
        "service: 1 added, 1 changed (ECS::TaskDefinition Task), 1 removed (SNS::Topic Old)"
    )
