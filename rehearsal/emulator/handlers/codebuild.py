"""CodeBuild: projects, and report groups as records."""

from rehearsal.emulator.core.properties import Properties
from rehearsal.emulator.handlers.base import RecordedHandler, Request, Resource, WrappingHandler


class Project(WrappingHandler):
    """A build project; also recorded, since the emulator does not keep its log group."""

    type_name = "AWS::CodeBuild::Project"

    def create(self, request: Request) -> Resource:
        """Create and record the project."""
        project = super().create(request)
        self.context.records.write(self.type_name, project.id, request.properties)
        return project

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Update and record the project."""
        project = super().update(resource_id, old, request)
        self.context.records.write(self.type_name, project.id, request.properties)
        return project

    def delete(self, resource_id: str, properties: Properties) -> None:
        """Delete the project and its record."""
        super().delete(resource_id, properties)
        self.context.records.remove(self.type_name, resource_id)


class ReportGroup(RecordedHandler):
    """A report group."""

    type_name = "AWS::CodeBuild::ReportGroup"

    def identify(self, request: Request) -> Resource:
        """Return the ARN of the group."""
        arn = self.context.arn("codebuild", f"report-group/{request.name('Name', limit=128)}")
        return Resource(id=arn, attributes={"Arn": arn})
