"""CodeBuild: report groups; projects are the emulator's own."""

from rehearsal.emulator.handlers.base import Handler, RecordedHandler, Request, Resource


class ReportGroup(RecordedHandler):
    """A place for test reports; Ref gives its ARN."""

    type_name = "AWS::CodeBuild::ReportGroup"

    def identify(self, request: Request) -> Resource:
        """Return the group's ARN."""
        arn = self.account.arn("codebuild", f"report-group/{request.name('Name', limit=128)}")
        return Resource(id=arn, attributes={"Arn": arn})


HANDLERS: tuple[type[Handler], ...] = (ReportGroup,)
