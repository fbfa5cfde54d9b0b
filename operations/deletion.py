"""Delete stacks, concurrently where they are independent, and explain why one cannot be deleted."""

import graphlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any  # summaries of resources, as boto3 returns them

from boto3.session import Session

from operations.installation import Stack
from operations.order import deletion_order

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient
    from mypy_boto3_s3.service_resource import S3ServiceResource

_ATTEMPTS = 2
_HEARTBEAT_SECONDS = 60.0


class DeletionError(Exception):
    """A stack could not be deleted; the message names its status and the resources that prevent it."""


class _Deletion:
    """Deletes single stacks; creates all clients in advance, since a session is not thread-safe."""

    def __init__(self, session: Session, regions: Iterable[str], *, report: Callable[[str], None], poll: float) -> None:
        self._clients = {region: session.client("cloudformation", region_name=region) for region in regions}
        self._s3: S3ServiceResource = session.resource("s3")
        self._report = report
        self._poll = poll
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Stop waiting; AWS continues the deletions in progress."""
        self._stopped.set()

    def delete(self, stack: Stack) -> None:
        """Delete a stack; if that fails, empty its buckets and try again.

        Raises:
            DeletionError: It still exists.
        """
        client = self._clients[stack.region]
        for attempt in range(1, _ATTEMPTS + 1):
            self._report(f"deleting {stack.name}" + (" again" if attempt > 1 else ""))
            client.delete_stack(StackName=stack.id)
            status = self._wait(client, stack)
            if status == "DELETE_COMPLETE":
                self._report(f"deleted {stack.name}")
                return
            self._empty_buckets(client, stack)
        raise DeletionError(f"{status}: {'; '.join(self._obstacles(client, stack))}")

    def _wait(self, client: "CloudFormationClient", stack: Stack) -> str:
        heartbeat = time.monotonic() + _HEARTBEAT_SECONDS
        while True:
            status = client.describe_stacks(StackName=stack.id)["Stacks"][0]["StackStatus"]
            if status != "DELETE_IN_PROGRESS":
                return status
            if self._stopped.wait(self._poll):
                raise DeletionError("interrupted")
            if time.monotonic() > heartbeat:
                self._report(f"still deleting {stack.name}")
                heartbeat += _HEARTBEAT_SECONDS

    def _empty_buckets(self, client: "CloudFormationClient", stack: Stack) -> None:
        """Empty buckets that could not be deleted: logs may have arrived after they were emptied."""
        for resource in self._failed(client, stack):
            if resource["ResourceType"] == "AWS::S3::Bucket":
                self._s3.Bucket(resource["PhysicalResourceId"]).object_versions.delete()

    @staticmethod
    def _failed(client: "CloudFormationClient", stack: Stack) -> Iterator[Any]:
        for page in client.get_paginator("list_stack_resources").paginate(StackName=stack.id):
            for resource in page["StackResourceSummaries"]:
                if resource["ResourceStatus"] == "DELETE_FAILED":
                    yield resource

    def _obstacles(self, client: "CloudFormationClient", stack: Stack) -> Iterator[str]:
        """Yield each resource that could not be deleted, with the reason in its latest event."""
        reasons: dict[str, str] = {}
        for page in client.get_paginator("describe_stack_events").paginate(StackName=stack.id):
            for event in page["StackEvents"]:  # newest first
                if event.get("ResourceStatus") == "DELETE_FAILED":
                    reasons.setdefault(event["LogicalResourceId"], event.get("ResourceStatusReason", ""))
        for resource in self._failed(client, stack):
            name = resource["LogicalResourceId"]
            yield f"{name} ({resource['ResourceType']}): {reasons.get(name) or 'no reason given'}"


def delete_stacks(
    session: Session, stacks: Iterable[Stack], *, report: Callable[[str], None], poll_seconds: float
) -> list[str]:
    """Delete all stacks and return one line for each that is left; those that follow a failed one are not tried."""
    by_id = {stack.id: stack for stack in stacks}
    deletion = _Deletion(session, {stack.region for stack in by_id.values()}, report=report, poll=poll_seconds)
    graph = graphlib.TopologicalSorter(deletion_order(by_id.values()))
    graph.prepare()
    untried = set(by_id)
    problems: list[str] = []
    with ThreadPoolExecutor(max_workers=8) as pool:
        running: dict[Future[None], str] = {}
        try:
            while True:
                ready = graph.get_ready()
                untried -= set(ready)
                running |= {pool.submit(deletion.delete, by_id[stack_id]): stack_id for stack_id in ready}
                if not running:
                    break
                for job in wait(running, return_when=FIRST_COMPLETED).done:
                    stack_id = running.pop(job)
                    error = job.exception()
                    if error is None:
                        graph.done(stack_id)
                    else:
                        problems.append(f"{by_id[stack_id].name}: {error}")
        except BaseException:
            deletion.stop()
            raise
    return problems + [
        f"{by_id[one].name}: not deleted, because a stack that must be deleted first is left" for one in untried
    ]
