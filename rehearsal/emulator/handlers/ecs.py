"""ECS: task definitions and services, made through the emulator's API and run by the compute runtime."""

from typing import TYPE_CHECKING

from rehearsal.emulator.control import ControlError
from rehearsal.emulator.handlers.api import api_names, to_api
from rehearsal.emulator.handlers.base import Handler, Properties, Request, Resource, ResourceError

if TYPE_CHECKING:
    from mypy_boto3_ecs.client import ECSClient


def _without_tags(properties: Properties) -> Properties:
    return {name: value for name, value in properties.items() if name != "Tags"}


class _EcsHandler(Handler):
    @property
    def ecs(self) -> "ECSClient":
        """The emulator's ECS API."""
        return self.account.session.client("ecs")

    def _tag(self, arn: str, properties: Properties) -> None:
        self.ecs.tag_resource(
            resourceArn=arn, tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in properties.get("Tags", ())]
        )


class TaskDefinition(_EcsHandler):
    """A revision of a task definition, complete to the last nested property."""

    type_name = "AWS::ECS::TaskDefinition"

    def create(self, request: Request) -> Resource:
        """Register a revision."""
        properties = {**request.properties, "Family": request.name("Family")}
        made = self.ecs.register_task_definition(**to_api(self.ecs, "RegisterTaskDefinition", properties))
        arn = made["taskDefinition"]["taskDefinitionArn"]
        return Resource(id=arn, attributes={"TaskDefinitionArn": arn})

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Change the tags; anything else is a new revision."""
        if _without_tags(old) != _without_tags(request.properties):
            return self.create(request)
        self._tag(resource_id, request.properties)
        return Resource(id=resource_id, attributes={"TaskDefinitionArn": resource_id})

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Deregister the revision: CloudFormation leaves it INACTIVE and does not delete it."""
        self.ecs.deregister_task_definition(taskDefinition=resource_id)


class Service(_EcsHandler):
    """A service; creating or updating it waits until its deployment is steady.

    A deployment that fails fails the resource, as ECS's circuit breaker does: the stack rolls back, and what served
    before goes on serving.
    """

    type_name = "AWS::ECS::Service"

    def create(self, request: Request) -> Resource:
        """Create the service and wait for its tasks; nothing of it stays when they fail."""
        properties = {**request.properties, "ServiceName": request.name("ServiceName")}
        made = self.ecs.create_service(**to_api(self.ecs, "CreateService", properties))["service"]
        resource = self._resource(made["serviceArn"])
        try:
            self._deploy(made["serviceArn"])
        except ResourceError:
            self.delete(resource.id, properties)
            raise
        return resource

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Deploy the change and wait for it; when it fails, the service is as it was."""
        self._apply(resource_id, old, request.properties)
        try:
            self._deploy(resource_id)
        except ResourceError:
            self._apply(resource_id, request.properties, old)
            raise
        return self._resource(resource_id)

    def delete(self, resource_id: str, properties: Properties) -> None:  # noqa: ARG002
        """Drain and stop its tasks, then delete it."""
        cluster, service = _cluster_and_service(resource_id)
        self.account.control.delete("services", cluster, service)
        self.ecs.delete_service(cluster=cluster, service=service, force=True)

    def _apply(self, arn: str, old: Properties, new: Properties) -> None:
        """Send what differs through UpdateService; a property that `new` lacks stays as it is."""
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
            self.account.control.put("services", *_cluster_and_service(arn))
        except ControlError as error:
            raise ResourceError(f"ECS Deployment Circuit Breaker was triggered: {error}") from error

    @staticmethod
    def _resource(arn: str) -> Resource:
        return Resource(id=arn, attributes={"ServiceArn": arn, "Name": arn.rsplit("/", 1)[-1]})


def _cluster_and_service(arn: str) -> tuple[str, str]:
    _, cluster, service = arn.split("/")
    return cluster, service


HANDLERS: tuple[type[Handler], ...] = (TaskDefinition, Service)
