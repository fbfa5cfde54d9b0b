"""What a deployment would change: templates about to be deployed against those that are."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rehearsal.codepipeline.artifacts import Artifacts
from rehearsal.codepipeline.definition import Stage

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


def upcoming_changes(
    stages: Iterable[Stage], after: str, artifacts: Artifacts, client: "CloudFormationClient"
) -> tuple[str, ...]:
    """One line for each stack that deploys next: those of stage `after`, or else of the next stage that deploys."""
    behind = _from(list(stages), after)
    for stage in behind:
        templates = {
            action.configuration["StackName"]: artifacts.file(action.configuration["TemplatePath"]).read_text("utf-8")
            for action in stage.actions
            if action.provider == "CloudFormation" and "TemplatePath" in action.configuration
        }
        if templates:
            return tuple(
                describe(stack, _resources(_deployed(client, stack)), _resources(json.loads(text)))
                for stack, text in templates.items()
            )
    return ()


def describe(stack: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """`stack: 2 added, 1 changed (…), 1 removed (…)`, resources named by type and logical id."""
    added = after.keys() - before.keys()
    removed = before.keys() - after.keys()
    changed = {name for name in after.keys() & before.keys() if after[name] != before[name]}
    if not (added or removed or changed):
        return f"{stack}: no change"
    if not before:
        return f"{stack}: new, {len(added)} resources"
    parts = [f"{len(added)} added"] if added else []
    for verb, names, where in (("changed", changed, after), ("removed", removed, before)):
        if names:
            listed = ", ".join(sorted(f"{where[name]['Type'].removeprefix('AWS::')} {name}" for name in names))
            parts.append(f"{len(names)} {verb} ({listed})")
    return f"{stack}: " + ", ".join(parts)


def _from(stages: list[Stage], name: str) -> list[Stage]:
    names = [stage.name for stage in stages]
    return stages[names.index(name) :]


def _deployed(client: "CloudFormationClient", stack: str) -> Mapping[str, Any]:
    try:
        body: object = client.get_template(StackName=stack)["TemplateBody"]
    except ClientError:
        return {}
    template: Mapping[str, Any] = json.loads(body) if isinstance(body, str) else body  # type: ignore[assignment]
    return template


def _resources(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """The resources without metadata, which changes nothing that is deployed."""
    return {
        name: {key: value for key, value in resource.items() if key != "Metadata"}
        for name, resource in template.get("Resources", {}).items()
        if resource["Type"] != "AWS::CDK::Metadata"
    }
