"""Tasks that no service started, such as administrators' commands: a cluster with a running task cannot be deleted."""

from collections.abc import Callable, Iterable

from boto3.session import Session

from operations.installation import Stack

_REASON = "The installation is being destroyed."
_OF_A_SERVICE = "service:"
#: Most that DescribeTasks takes.
_AT_ONCE = 100


def stop_lone_tasks(session: Session, stacks: Iterable[Stack], *, say: Callable[[str], None]) -> None:
    """Stop what runs in the stacks' clusters beside their services, which CloudFormation stops itself."""
    for stack in stacks:
        ecs = session.client("ecs", region_name=stack.region)
        for cluster in stack.ids("AWS::ECS::Cluster"):
            pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, PaginationConfig={"PageSize": _AT_ONCE})
            for arns in (page["taskArns"] for page in pages):
                tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
                for task in tasks:
                    if not task.get("group", "").startswith(_OF_A_SERVICE):
                        say(f"stopping {task['taskArn']} ({task['taskDefinitionArn'].rsplit('/', 1)[-1]})")
                        ecs.stop_task(cluster=cluster, task=task["taskArn"], reason=_REASON)
