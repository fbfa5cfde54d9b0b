"""Deletion of task definitions, which CloudFormation only deregisters."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from boto3.session import Session

from operations.installation import Stack

if TYPE_CHECKING:
    from mypy_boto3_ecs.literals import TaskDefinitionStatusType

#: Maximum number of task definitions per DeleteTaskDefinitions request.
_BATCH_SIZE = 10


def families(stack: Stack) -> set[str]:
    """Return the families of the stack's task definitions."""
    return {arn.rsplit("/", 1)[-1].rsplit(":", 1)[0] for arn in stack.ids("AWS::ECS::TaskDefinition")}


def delete_task_definitions(
    session: Session, region: str, names: Iterable[str], *, report: Callable[[str], None]
) -> None:
    """Deregister and delete every revision of these families; AWS removes them once no task uses them."""
    ecs = session.client("ecs", region_name=region)
    for family in sorted(names):
        for arn in _revisions(session, region, family, "ACTIVE"):
            ecs.deregister_task_definition(taskDefinition=arn)
        revisions = _revisions(session, region, family, "INACTIVE")
        for start in range(0, len(revisions), _BATCH_SIZE):
            ecs.delete_task_definitions(taskDefinitions=revisions[start : start + _BATCH_SIZE])
        if revisions:
            report(f"deleted {len(revisions)} revision(s) of task definition {family}")


def _revisions(session: Session, region: str, family: str, status: "TaskDefinitionStatusType") -> list[str]:
    pages = session.client("ecs", region_name=region).get_paginator("list_task_definitions")
    found = [arn for page in pages.paginate(familyPrefix=family, status=status) for arn in page["taskDefinitionArns"]]
    return [arn for arn in found if arn.rsplit("/", 1)[-1].rsplit(":", 1)[0] == family]
