"""RDS: Aurora clusters, whose databases the container runtime runs."""

from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.core.runtime_client import RuntimeCallError
from rehearsal.emulator.handlers.base import Request, Resource, WrappingHandler

_CONNECTION = ("MasterUsername", "MasterUserPassword", "DatabaseName")


class DbCluster(WrappingHandler):
    """An Aurora cluster with a PostgreSQL server behind its endpoints."""

    type_name = "AWS::RDS::DBCluster"

    def create(self, request: Request) -> Resource:
        """Create the cluster and start its database; if that fails, delete the cluster."""
        resource = super().create(request)
        try:
            self._start(resource, request.properties)
        except ResourceError:
            self.delete(resource.id, request.properties)
            raise
        return resource

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Update the cluster, and its database if the connection changed."""
        resource = super().update(resource_id, old, request)
        new = request.properties
        if resource.id != resource_id or any(old.get(name) != new.get(name) for name in _CONNECTION):
            self._start(resource, new)
        return resource

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Stop the database and delete the cluster."""
        self.context.runtime.delete("databases", resource_id)
        super().delete(resource_id, properties)

    def _start(self, resource: Resource, properties: Properties) -> None:
        body = {
            "endpoint": resource.attributes["Endpoint.Address"],
            "reader_endpoint": resource.attributes["ReadEndpoint.Address"],
            "username": properties.get("MasterUsername"),
            "password": properties.get("MasterUserPassword"),
            "database": properties.get("DatabaseName"),
        }
        try:
            self.context.runtime.put("databases", resource.id, body=body)
        except RuntimeCallError as error:
            raise ResourceError(f"The database cluster {resource.id} could not be started: {error}") from error
