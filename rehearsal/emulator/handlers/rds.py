"""RDS: clusters whose database the compute runtime runs."""

from rehearsal.emulator.control import ControlError
from rehearsal.emulator.handlers.base import Handler, Properties, Request, Resource, ResourceError
from rehearsal.emulator.handlers.wrapping import WrappingHandler

_CONNECTION = ("Port", "MasterUsername", "MasterUserPassword", "DatabaseName")


class DbCluster(WrappingHandler):
    """An Aurora cluster with a real PostgreSQL behind its endpoints."""

    type_name = "AWS::RDS::DBCluster"

    def create(self, request: Request) -> Resource:
        """Create the cluster and start its database; nothing of it stays when that fails."""
        resource = self.emulated.create(request)
        try:
            self._start(resource, request.properties)
        except ResourceError:
            self.delete(resource.id, request.properties)
            raise
        return resource

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Change the cluster; its database when who connects to it, or how, changes."""
        resource = self.emulated.update(resource_id, old, request)
        new = request.properties
        if resource.id != resource_id or any(old.get(name) != new.get(name) for name in _CONNECTION):
            self._start(resource, new)
        return resource

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Stop the database and delete the cluster."""
        self.account.control.delete("databases", resource_id)
        self.emulated.delete(resource_id, properties)

    def _start(self, resource: Resource, properties: Properties) -> None:
        body = {
            "endpoint": resource.attributes["Endpoint.Address"],
            "reader_endpoint": resource.attributes["ReadEndpoint.Address"],
            "port": int(resource.attributes["Endpoint.Port"]),
            "username": properties.get("MasterUsername"),
            "password": properties.get("MasterUserPassword"),
            "database": properties.get("DatabaseName"),
        }
        try:
            self.account.control.put("databases", resource.id, body=body)
        except ControlError as error:
            raise ResourceError(f"The database cluster {resource.id} could not be started: {error}") from error


HANDLERS: tuple[type[Handler], ...] = (DbCluster,)
