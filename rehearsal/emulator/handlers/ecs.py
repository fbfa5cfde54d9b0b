"""ECS: task definitions and services, through the emulator's API; the container runtime runs the services."""

from typing import TYPE_CHECKING

from rehearsal.emulator.core.api_shapes import api_names, to_api
from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.core.runtime_client import RuntimeCallError
from rehearsal.emulator.handlers.base import Handler, Request, Resource

if TYPE_CHECKING:
    from mypy_boto3_ecs.client import ECSClient


class _EcsHandler(Handler):
    @property
    def ecs(self) -> "ECSClient":
        """The emulator's ECS API."""
        return self.context.session.client("ecs")

    def _tag(self, arn: str, properties: Properties) -> None:
        self.ecs.tag_resource(
            resourceArn=arn, tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in properties.get("Tags", ())]
        )


class TaskDefinition(_EcsHandler):
    """A revision of a task definition, with every property."""

    type_name = "AWS::ECS::TaskDefinition"

    def create(self, request: Request) -> Resource:
        """Register a revision."""
        properties = {**request.properties, "Family": request.name("Family")}
        response = self.ecs.register_task_definition(**to_api(self.ecs, "RegisterTaskDefinition", properties))
        return self._resource(response["taskDefinition"]["taskDefinitionArn"])

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Change the tags; for any other change, register a new revision."""
        if {**old, "Tags": None} != {**request.properties, "Tags": None}:
            return self.create(request)
        self._tag(resource_id, request.properties)
        return self._resource(resource_id)

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Deregister the revision; CloudFormation leaves it INACTIVE."""
        self.ecs.deregister_task_definition(taskDefinition=resource_id)

    @staticmethod
    def _resource(arn: str) -> Resource:
        return Resource(id=arn, attributes={"TaskDefinitionArn": arn})


class Service(_EcsHandler):
    """A service; creating and updating it lasts until its deployment is steady.

    A failed deployment fails the resource, as with the circuit breaker of ECS: the stack rolls back, and the tasks of
    the previous deployment still serve.
    """

    type_name = "AWS::ECS::Service"

    def create(self, request: Request) -> Resource:
        """Create the service and wait for its deployment; a service whose deployment fails is deleted."""
        properties = {**request.properties, "ServiceName": request.name("ServiceName")}
        arn = self.ecs.create_service(**to_api(self.ecs, "CreateService", properties))["service"]["serviceArn"]
        try:
            self._deploy(arn)
        except ResourceError:
            self.delete(arn, properties)
            raise
        return self._resource(arn)

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Update the service and wait for its deployment; if that fails, undo the update."""
        self._apply(resource_id, old, request.properties)
        try:
            self._deploy(resource_id)
        except ResourceError:
            self._apply(resource_id, request.properties, old)
            raise
        return self._resource(resource_id)

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Drain and stop the tasks, and delete the service."""
        cluster, service = _cluster_and_service(resource_id)
        self.context.runtime.delete("services", cluster, service)
        self.ecs.delete_service(cluster=cluster, service=service, force=True)

    def _apply(self, arn: str, old: Properties, new: Properties) -> None:
        """Call UpdateService with the properties that differ; properties that `new` lacks are unchanged."""
        known = api_names(self.ecs, "UpdateService")
        changed = {name: value for name, value in new.items() if value != old.get(name) and name.lower() in known}
        cluster, service = _cluster_and_service(arn)
        arguments = {**changed, "cluster": cluster, "service": service}
        arguments.pop("Cluster", None)
        self.ecs.update_service(**to_api(self.ecs, "UpdateService", arguments))
        if new.get("Tags") != old.get("Tags"):
            self._tag(arn, new)

    def _deploy(self, arn: str) -> None:
        try:
            self.context.runtime.put("services", *_cluster_and_service(arn))
        except RuntimeCallError as error:
            raise ResourceError(f"ECS Deployment Circuit Breaker was triggered: {error}") from error

    @staticmethod
    def _resource(arn: str) -> Resource:
        return Resource(id=arn, attributes={"ServiceArn": arn, "Name": arn.rsplit("/", 1)[-1]})


def _cluster_and_service(arn: str) -> tuple[str, str]:
    _, cluster, service = arn.split("/")
    return cluster, service
