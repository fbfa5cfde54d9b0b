"""CodeBuild: report groups, and the part of projects that the emulator's own handler drops."""

from rehearsal.emulator.handlers.api import to_api
from rehearsal.emulator.handlers.base import Handler, Properties, RecordedHandler, Request, Resource
from rehearsal.emulator.handlers.wrapping import WrappingHandler


class Project(WrappingHandler):
    """A build project that keeps where it logs."""

    type_name = "AWS::CodeBuild::Project"

    def create(self, request: Request) -> Resource:
        """Make the project."""
        return self._with_logs(self.emulated.create(request), request)

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Change the project."""
        return self._with_logs(self.emulated.update(resource_id, old, request), request)

    def _with_logs(self, project: Resource, request: Request) -> Resource:
        client = self.account.session.client("codebuild")
        logs = {"logsConfig": request.properties.get("LogsConfig", {})}
        client.update_project(name=project.id, **to_api(client, "UpdateProject", logs))
        return project


class ReportGroup(RecordedHandler):
    """A place for test reports; Ref gives its ARN."""

    type_name = "AWS::CodeBuild::ReportGroup"

    def identify(self, request: Request) -> Resource:
        """Return the group's ARN."""
        arn = self.account.arn("codebuild", f"report-group/{request.name('Name', limit=128)}")
        return Resource(id=arn, attributes={"Arn": arn})


HANDLERS: tuple[type[Handler], ...] = (Project, ReportGroup)
