"""Application Auto Scaling: recorded, and the capacity of ECS services handed to the compute runtime."""

from rehearsal.emulator.handlers.base import Handler, Properties, RecordedHandler, Request, Resource, ResourceError

_ECS_COUNT = "ecs:service:DesiredCount"


def _ecs_service(properties: Properties) -> tuple[str, str] | None:
    """Return cluster and service of a target that scales an ECS service, else None."""
    if properties.get("ScalableDimension") != _ECS_COUNT:
        return None
    kind, cluster, service = str(properties["ResourceId"]).split("/")
    if kind != "service":
        raise ResourceError(
            f"ResourceId of an ECS target must be service/CLUSTER/SERVICE, not {properties['ResourceId']}"
        )
    return cluster, service


class ScalableTarget(RecordedHandler):
    """The range in which a service is scaled. Ref gives resource, dimension and namespace, as on AWS."""

    type_name = "AWS::ApplicationAutoScaling::ScalableTarget"

    def identify(self, request: Request) -> Resource:
        """Return the target's id."""
        properties = request.properties
        target = f"{properties['ResourceId']}|{properties['ScalableDimension']}|{properties['ServiceNamespace']}"
        return Resource(id=target, attributes={"Id": target})

    def check(self, properties: Properties) -> None:
        """Refuse an empty range, and a service that does not exist."""
        low, high = int(properties["MinCapacity"]), int(properties["MaxCapacity"])
        if low > high:
            raise ResourceError(f"Maximum capacity ({high}) cannot be less than minimum capacity ({low})")
        service = _ecs_service(properties)
        if service is None:
            return
        found = self.account.session.client("ecs").describe_services(cluster=service[0], services=[service[1]])
        if not [one for one in found["services"] if one["status"] == "ACTIVE"]:
            raise ResourceError(f"ECS service doesn't exist: {properties['ResourceId']}")

    def create(self, request: Request) -> Resource:
        """Record the target and scale to its range."""
        resource = super().create(request)
        self._scale(request.properties)
        return resource

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Record the changed target and scale to its range."""
        resource = super().update(resource_id, old, request)
        self._scale(request.properties)
        return resource

    def _scale(self, properties: Properties) -> None:
        service = _ecs_service(properties)
        if service is not None:
            capacity = {"min": int(properties["MinCapacity"]), "max": int(properties["MaxCapacity"])}
            self.account.control.put("services", *service, "capacity", body=capacity)


class ScalingPolicy(RecordedHandler):
    """A rule that scales a target; recorded, nothing scales by itself in a rehearsal."""

    type_name = "AWS::ApplicationAutoScaling::ScalingPolicy"

    def identify(self, request: Request) -> Resource:
        """Return the policy's ARN."""
        name = request.name("PolicyName")
        target = request.properties.get("ScalingTargetId") or "|".join(
            str(request.properties[part]) for part in ("ResourceId", "ScalableDimension", "ServiceNamespace")
        )
        resource_id, _, namespace = target.split("|")
        arn = self.account.arn("autoscaling", f"scalingPolicy:resource/{namespace}/{resource_id}:policyName/{name}")
        return Resource(id=arn, attributes={"Arn": arn})


HANDLERS: tuple[type[Handler], ...] = (ScalableTarget, ScalingPolicy)
