"""The roles of a task: the agent pulls images, reads secrets and writes logs as the execution role.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import boto3.session

from rehearsal.account.authorization_client import AuthorizationClient, CallDeniedError
from rehearsal.account.sessions import Credentials
from rehearsal.ecs.task_definitions import ContainerDefinition, TaskDefinition
from rehearsal.host.errors import TaskDefinitionError

_SERVICE = "ecs-tasks.amazonaws.com"
_REGISTRY = "ecr.amazonaws.com"
_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
_IMAGE = re.compile(r"^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)")


@dataclass(frozen=True, kw_only=True)
class TaskRoles:
    """Assumes the roles of tasks and authorizes the calls that the agent makes as them; blocking."""

    authorization: AuthorizationClient
    session: boto3.session.Session
    open_session: Callable[[Credentials], boto3.session.Session]

    def prepare(self, definition: TaskDefinition) -> boto3.session.Session:
        """Authorize what the agent does before the containers of a task start.

        Returns:
            A session of the execution role.

        Raises:
            TaskDefinitionError: A call is denied.

        """
        parts = definition.arn.split(":")
        context = {"aws:SourceAccount": parts[4], "aws:SourceArn": f"arn:aws:ecs:{parts[3]}:{parts[4]}:*"}
        try:
            if definition.task_role:
                self.authorization.assume(definition.task_role, service=_SERVICE, session="task", context=context)
            credentials = self.authorization.assume(
                definition.execution_role, service=_SERVICE, session="agent", context=context
            )
            self._authorize_layers(parts[3])
            for container in definition.containers:
                self._authorize_container(definition, container)
        except CallDeniedError as error:
            raise TaskDefinitionError(f"ResourceInitializationError: {error}") from None
        return self.open_session(credentials)

    def _authorize_layers(self, region: str) -> None:
        """Authorize the download of image layers by the policies of S3 gateway endpoints.

        Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html#ecr-minimum-s3-perms
        """
        layers = f"arn:aws:s3:::prod-{region}-starport-layer-bucket/layer"
        for endpoint in self.session.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]:
            if endpoint["ServiceName"].endswith(".s3") and endpoint.get("PolicyDocument"):
                policy = json.loads(endpoint["PolicyDocument"])
                self.authorization.require(_REGISTRY, "s3:GetObject", layers, resource_policy=policy)

    def _authorize_container(self, definition: TaskDefinition, container: ContainerDefinition) -> None:
        role = definition.execution_role
        image = _IMAGE.match(container.image)
        if image:
            account, region, repository = image.groups()
            self.authorization.require(role, "ecr:GetAuthorizationToken")
            for action in _PULL:
                self.authorization.require(role, action, f"arn:aws:ecr:{region}:{account}:repository/{repository}")
        if container.log_group:
            _, _, _, region, account, *_ = definition.arn.split(":")
            stream = f"arn:aws:logs:{region}:{account}:log-group:{container.log_group}:log-stream:{container.name}"
            for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
                self.authorization.require(role, action, stream)
