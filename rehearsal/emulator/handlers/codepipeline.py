"""CodePipeline: recorded; the rehearsal itself executes the pipeline."""

from dataclasses import replace

from rehearsal.emulator.core.properties import Properties, ResourceError
from rehearsal.emulator.handlers.base import RecordedHandler, Request, Resource


class Pipeline(RecordedHandler):
    """A pipeline; the rehearsal executes its record."""

    type_name = "AWS::CodePipeline::Pipeline"

    def identify(self, request: Request) -> Resource:
        """Return the name of the pipeline."""
        return Resource(id=request.name("Name", limit=100), attributes={"Version": "1"})

    def create(self, request: Request) -> Resource:
        """Record the pipeline."""
        return super().create(self._with_name(request))

    def update(self, resource_id: str, old: Properties, request: Request) -> Resource:
        """Record the updated pipeline."""
        return super().update(resource_id, old, self._with_name(request))

    def validate(self, properties: Properties) -> None:
        """Refuse what CreatePipeline refuses: too few stages, unknown artifacts, duplicate names, missing projects."""
        stages = properties["Stages"]
        if len(stages) < 2:
            raise ResourceError("Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a pipeline")
        _refuse_duplicates("stage", [stage["Name"] for stage in stages])
        artifacts: set[str] = set()
        for stage in stages:
            _refuse_duplicates(f"action of stage {stage['Name']}", [action["Name"] for action in stage["Actions"]])
            for action in sorted(stage["Actions"], key=lambda action: int(action.get("RunOrder", 1))):
                for artifact in action.get("InputArtifacts", ()):
                    if artifact["Name"] not in artifacts:
                        raise ResourceError(
                            f"Input artifact {artifact['Name']} of action {action['Name']} in stage {stage['Name']}"
                            " is not the output of an earlier action"
                        )
                artifacts.update(artifact["Name"] for artifact in action.get("OutputArtifacts", ()))
        self._refuse_missing_projects(properties)

    def _with_name(self, request: Request) -> Request:
        """Add the name that CloudFormation generates to the record of a pipeline without one."""
        return replace(request, properties={**request.properties, "Name": self.identify(request).id})

    def _refuse_missing_projects(self, properties: Properties) -> None:
        names = {
            action["Configuration"]["ProjectName"]
            for stage in properties["Stages"]
            for action in stage["Actions"]
            if action["ActionTypeId"]["Provider"] == "CodeBuild"
        }
        if names:
            found = self.context.session.client("codebuild").batch_get_projects(names=sorted(names))
            if found["projectsNotFound"]:
                raise ResourceError(f"CodeBuild projects do not exist: {', '.join(found['projectsNotFound'])}")


def _refuse_duplicates(what: str, names: list[str]) -> None:
    duplicates = {name for name in names if names.count(name) > 1}
    if duplicates:
        raise ResourceError(f"Duplicate {what} name: {', '.join(sorted(duplicates))}")
