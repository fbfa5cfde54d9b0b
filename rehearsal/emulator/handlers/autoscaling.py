"""Application Auto Scaling: recorded; the minimum capacity of ECS services is passed to the container runtime."""

from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.handlers.base import RecordedHandler, Request, Resource

_ECS_COUNT = "ecs:service:DesiredCount"


def _ecs_service(properties: Properties) -> tuple[str, str] | None:
    """Return cluster and service of a target that scales an ECS service; None for other targets."""
    if properties.get("ScalableDimension") != _ECS_COUNT:
        return None
    kind, cluster, service = str(properties["ResourceId"]).split("/")
    if kind != "service":
        raise ResourceError(
            f"ResourceId of an ECS target must be service/CLUSTER/SERVICE, not {properties['ResourceId']}"
        )
    return cluster, service


class ScalableTarget(RecordedHandler):
    """The capacity range of a service."""

    type_name = "AWS::ApplicationAutoScaling::ScalableTarget"

    def identify(self, request: Request) -> Resource:
        """Return the target: resource, dimension and namespace."""
        properties = request.properties
        target = f"{properties['ResourceId']}|{properties['ScalableDimension']}|{properties['ServiceNamespace']}"
        return Resource(id=target, attributes={"Id": target})

    def validate(self, properties: Properties) -> None:
        """Refuse an empty range and a service that does not exist."""
        low, high = int(properties["MinCapacity"]), int(properties["MaxCapacity"])
        if low > high:
            raise ResourceError(f"Maximum capacity ({high}) cannot be less than minimum capacity ({low})")
        target = _ecs_service(properties)
        if target is None:
            return
        cluster, service = target
        found = self.context.session.client("ecs").describe_services(cluster=cluster, services=[service])["services"]
        if not any(entry["status"] == "ACTIVE" for entry in found):
            raise ResourceError(f"ECS service doesn't exist: {properties['ResourceId']}")

    def create(self, request: Request) -> Resource:
        """Record the target and scale the service."""
        resource = super().create(request)
        self._scale(request.properties)
        return resource

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Record the target and scale the service."""
        resource = super().update(resource_id, old, request)
        self._scale(request.properties)
        return resource

    def _scale(self, properties: Properties) -> None:
        service = _ecs_service(properties)
        if service is not None:
            self.context.runtime.put("services", *service, "capacity", body={"min": int(properties["MinCapacity"])})


class ScalingPolicy(RecordedHandler):
    """A scaling policy; it never scales anything."""

    type_name = "AWS::ApplicationAutoScaling::ScalingPolicy"

    def identify(self, request: Request) -> Resource:
        """Return the ARN of the policy."""
        resource_id, _, namespace = str(request.properties["ScalingTargetId"]).split("|")
        policy = f"scalingPolicy:resource/{namespace}/{resource_id}:policyName/{request.name('PolicyName')}"
        arn = self.context.arn("autoscaling", policy)
        return Resource(id=arn, attributes={"Arn": arn})
