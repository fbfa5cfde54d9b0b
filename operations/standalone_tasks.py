"""Standalone tasks, such as administrators' commands: a cluster with running tasks cannot be deleted."""

from collections.abc import Callable, Iterable

from boto3.session import Session

from operations.installation import Stack

_REASON = "The installation is being destroyed."
_SERVICE_GROUP = "service:"
#: Maximum number of tasks per DescribeTasks request.
_BATCH_SIZE = 100


def stop_standalone_tasks(session: Session, stacks: Iterable[Stack], *, report: Callable[[str], None]) -> None:
    """Stop the tasks in the stacks' clusters that belong to no service; CloudFormation stops the others itself."""
    for stack in stacks:
        ecs = session.client("ecs", region_name=stack.region)
        for cluster in stack.ids("AWS::ECS::Cluster"):
            pages = ecs.get_paginator("list_tasks").paginate(
                cluster=cluster, PaginationConfig={"PageSize": _BATCH_SIZE}
            )
            for arns in (page["taskArns"] for page in pages):
                tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
                for task in tasks:
                    if not task.get("group", "").startswith(_SERVICE_GROUP):
                        report(f"stopping {task['taskArn']} ({task['taskDefinitionArn'].rsplit('/', 1)[-1]})")
                        ecs.stop_task(cluster=cluster, task=task["taskArn"], reason=_REASON)
