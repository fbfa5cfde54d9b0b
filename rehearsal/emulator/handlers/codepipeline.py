"""CodePipeline and its notifications: recorded; the rehearsal itself is what runs a pipeline."""

from rehearsal.emulator.handlers.base import Handler, Properties, RecordedHandler, Request, Resource, ResourceError


class Pipeline(RecordedHandler):
    """A pipeline. Its record is what the rehearsal executes."""

    type_name = "AWS::CodePipeline::Pipeline"

    def identify(self, request: Request) -> Resource:
        """Return the pipeline's name."""
        return Resource(id=request.name("Name", limit=100), attributes={"Version": "1"})

    def create(self, request: Request) -> Resource:
        """Record the pipeline."""
        return super().create(self._named(request))

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Record the changed pipeline."""
        return super().update(resource_id, old, self._named(request))

    def _named(self, request: Request) -> Request:
        """Add the name where the template leaves it to CloudFormation, so that the record is complete."""
        properties = {**request.properties, "Name": self.identify(request).id}
        return Request(stack_name=request.stack_name, logical_id=request.logical_id, properties=properties)

    def check(self, properties: Properties) -> None:
        """Refuse what CreatePipeline refuses: too few stages, unknown artifacts, equal names, missing projects."""
        stages = properties["Stages"]
        if len(stages) < 2:
            raise ResourceError("Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a pipeline")
        _refuse_duplicates("stage", [stage["Name"] for stage in stages])
        made: set[str] = set()
        for stage in stages:
            _refuse_duplicates(f"action of stage {stage['Name']}", [action["Name"] for action in stage["Actions"]])
            for action in sorted(stage["Actions"], key=lambda one: int(one.get("RunOrder", 1))):
                for artifact in action.get("InputArtifacts", ()):
                    if artifact["Name"] not in made:
                        raise ResourceError(
                            f"Input artifact {artifact['Name']} of action {action['Name']} in stage {stage['Name']}"
                            " is not the output of an earlier action"
                        )
                made.update(artifact["Name"] for artifact in action.get("OutputArtifacts", ()))
        self._check_projects(properties)

    def _check_projects(self, properties: Properties) -> None:
        names = {
            action["Configuration"]["ProjectName"]
            for stage in properties["Stages"]
            for action in stage["Actions"]
            if action["ActionTypeId"]["Provider"] == "CodeBuild"
        }
        if names:
            found = self.account.session.client("codebuild").batch_get_projects(names=sorted(names))
            if found["projectsNotFound"]:
                raise ResourceError(f"CodeBuild projects do not exist: {', '.join(found['projectsNotFound'])}")


def _refuse_duplicates(what: str, names: list[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ResourceError(f"Duplicate {what} name: {', '.join(sorted(twice))}")


class NotificationRule(RecordedHandler):
    """A notification about a pipeline's events."""

    type_name = "AWS::CodeStarNotifications::NotificationRule"

    def identify(self, request: Request) -> Resource:
        """Return the rule's ARN."""
        arn = self.account.arn("codestar-notifications", f"notificationrule/{request.name('Name', limit=64)}")
        return Resource(id=arn, attributes={"Arn": arn})


HANDLERS: tuple[type[Handler], ...] = (Pipeline, NotificationRule)
