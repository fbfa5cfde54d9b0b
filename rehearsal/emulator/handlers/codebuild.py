"""CodeBuild: report groups, and projects with what the emulator's own handler drops."""

from rehearsal.emulator.handlers.base import Handler, Properties, RecordedHandler, Request, Resource
from rehearsal.emulator.handlers.wrapping import WrappingHandler


class Project(WrappingHandler):
    """A build project; recorded too, since the emulator does not keep where it logs."""

    type_name = "AWS::CodeBuild::Project"

    def create(self, request: Request) -> Resource:
        """Make the project."""
        project = self.emulated.create(request)
        self.account.records.write(self.type_name, project.id, request.properties)
        return project

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Change the project."""
        project = self.emulated.update(resource_id, old, request)
        self.account.records.write(self.type_name, project.id, request.properties)
        return project

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the project."""
        self.emulated.delete(resource_id, properties)
        self.account.records.remove(self.type_name, resource_id)


class ReportGroup(RecordedHandler):
    """A place for test reports; Ref gives its ARN."""

    type_name = "AWS::CodeBuild::ReportGroup"

    def identify(self, request: Request) -> Resource:
        """Return the group's ARN."""
        arn = self.account.arn("codebuild", f"report-group/{request.name('Name', limit=128)}")
        return Resource(id=arn, attributes={"Arn": arn})


HANDLERS: tuple[type[Handler], ...] = (Project, ReportGroup)
