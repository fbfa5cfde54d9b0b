"""Whose rights a task uses: the agent pulls images, reads secrets and writes logs as the execution role.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import boto3.session

from rehearsal.compute.errors import TaskDefinitionError
from rehearsal.compute.task_definitions import ContainerDefinition, TaskDefinition
from rehearsal.emulator.client import Credentials
from rehearsal.emulator.principals import DeniedError, Principals

_SERVICE = "ecs-tasks.amazonaws.com"
_REGISTRY = "ecr.amazonaws.com"
_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
_IMAGE = re.compile(r"^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)")


@dataclass(frozen=True, kw_only=True)
class TaskRoles:
    """Assumes the roles of tasks and has decided what the agent does as them; blocking."""

    principals: Principals
    account: boto3.session.Session
    session_for: Callable[[Credentials], boto3.session.Session]

    def prepare(self, definition: TaskDefinition) -> boto3.session.Session:
        """Do what happens before a task's containers start, and return a session of its execution role.

        Raises:
            TaskDefinitionError: something is not allowed; the message names what.
        """
        parts = definition.arn.split(":")
        context = {"aws:SourceAccount": parts[4], "aws:SourceArn": f"arn:aws:ecs:{parts[3]}:{parts[4]}:*"}
        try:
            if definition.task_role:
                self.principals.assume(definition.task_role, service=_SERVICE, session="task", context=context)
            credentials = self.principals.assume(
                definition.execution_role, service=_SERVICE, session="agent", context=context
            )
            self._reach_layers(parts[3])
            for container in definition.containers:
                self._prepare_container(definition, container)
        except DeniedError as error:
            raise TaskDefinitionError(f"ResourceInitializationError: {error}") from None
        return self.session_for(credentials)

    def _reach_layers(self, region: str) -> None:
        """Decide whether the policies of S3 gateway endpoints let image layers through.

        Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html#ecr-minimum-s3-perms
        """
        layers = f"arn:aws:s3:::prod-{region}-starport-layer-bucket/layer"
        found = self.account.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
        for endpoint in found:
            if endpoint["ServiceName"].endswith(".s3") and endpoint.get("PolicyDocument"):
                policy = json.loads(endpoint["PolicyDocument"])
                self.principals.require(_REGISTRY, "s3:GetObject", layers, resource_policy=policy)

    def _prepare_container(self, definition: TaskDefinition, container: ContainerDefinition) -> None:
        role = definition.execution_role
        image = _IMAGE.match(container.image)
        if image:
            account, region, repository = image.groups()
            self.principals.require(role, "ecr:GetAuthorizationToken")
            for action in _PULL:
                self.principals.require(role, action, f"arn:aws:ecr:{region}:{account}:repository/{repository}")
        if container.log_group:
            _, _, _, region, account, *_ = definition.arn.split(":")
            stream = f"arn:aws:logs:{region}:{account}:log-group:{container.log_group}:log-stream:{container.name}"
            for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
                self.principals.require(role, action, stream)
