"""Which stacks belong to an installation, and what they hold."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from boto3.session import Session
from botocore.exceptions import ClientError

PROJECT = "payment-pipeline"
"""Value of the tag `project` on every stack that this repository makes."""

MAIN = "main"
"""Name of the installation for which no environment suffix is configured."""

PIPELINE_TYPE = "AWS::CodePipeline::Pipeline"

_ABSENT = frozenset({"CREATE_FAILED", "DELETE_COMPLETE"})
"""States of a resource in which there is nothing to look at."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One installation: what one `cdk deploy PipelineStack` and its pipeline have made.

    The tag `environment-suffix` tells: on the pipeline's own stacks it is the installation (`alice`, or `main`), on
    those of an environment it is the environment, a hyphen and the installation (`dev-alice`, or `dev` alone in the
    installation `main`). Environments have no hyphen in their names.
    """

    project: str = PROJECT
    """Value of the tag `project`."""
    name: str = MAIN
    """The configured environment suffix, or `main`."""

    def environment_suffix(self, environment: str) -> str:
        """Return the tag `environment-suffix` of one of its environments, `dev` for example."""
        return environment if self.name == MAIN else f"{environment}-{self.name}"

    def owns(self, tags: Mapping[str, str], *, is_pipeline: bool) -> bool:
        """Tell whether a stack with these tags, the pipeline's own or an environment's, belongs to it."""
        suffix = tags.get("environment-suffix")
        if tags.get("project") != self.project or suffix is None:
            return False
        return self.name == (suffix if is_pipeline else suffix.partition("-")[2] or MAIN)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of a stack."""

    type: str
    id: str
    """Physical id."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack and what is needed to delete it in the right order and to sweep after it."""

    id: str
    """ARN, unique among regions and also after the stack is gone."""
    name: str
    region: str
    status: str
    created: datetime
    tags: Mapping[str, str]
    exports: frozenset[str]
    imports: frozenset[str]
    template: Mapping[str, Any]
    resources: tuple[Resource, ...]

    @property
    def has_pipeline(self) -> bool:
        """Whether the pipeline itself is in it."""
        return bool(self.ids(PIPELINE_TYPE))

    @property
    def environment(self) -> str | None:
        """The environment that it belongs to; None for PipelineStack and what serves it in other regions."""
        if self.has_pipeline or self.name.startswith("PipelineStack"):
            return None
        return self.tags.get("environment-suffix")

    def ids(self, resource_type: str) -> list[str]:
        """Return the physical ids of its resources of one type."""
        return [resource.id for resource in self.resources if resource.type == resource_type]


def configured_suffix(folder: Path) -> str:
    """Return `environment_suffix` of the `cdk.json` in `folder`; empty when nothing says otherwise."""
    try:
        context = json.loads((folder / "cdk.json").read_text(encoding="utf-8"))["context"]
    except (FileNotFoundError, KeyError):
        return ""
    return str(context.get("environment_suffix", ""))


def configured_regions(folder: Path) -> set[str]:
    """Return every region that the `cdk.json` in `folder` names."""
    try:
        context = json.loads((folder / "cdk.json").read_text(encoding="utf-8"))["context"]
    except (FileNotFoundError, KeyError):
        return set()
    places = [context, *(place for place in context.get("environments", {}).values())]
    return {str(place["region"]) for place in places if place.get("region")}


def find_stacks(session: Session, installation: Installation, regions: Iterable[str]) -> list[Stack]:
    """Return all stacks of the installation that exist in these regions."""
    found: list[Stack] = []
    for region in sorted(regions):
        cloudformation = session.client("cloudformation", region_name=region)
        for page in cloudformation.get_paginator("describe_stacks").paginate():
            for stack in page["Stacks"]:
                tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}
                if stack["StackStatus"] != "DELETE_COMPLETE" and tags.get("project") == installation.project:
                    found.append(_read(session, region, stack, tags))
    return [one for one in found if installation.owns(one.tags, is_pipeline=one.environment is None)]


def _read(session: Session, region: str, stack: Mapping[str, Any], tags: Mapping[str, str]) -> Stack:
    cloudformation = session.client("cloudformation", region_name=region)
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack["StackId"])
    resources = [
        Resource(type=one["ResourceType"], id=one["PhysicalResourceId"])
        for page in pages
        for one in page["StackResourceSummaries"]
        if one.get("PhysicalResourceId") and one["ResourceStatus"] not in _ABSENT
    ]
    template = _template(session, region, stack["StackId"])
    return Stack(
        id=stack["StackId"],
        name=stack["StackName"],
        region=region,
        status=stack["StackStatus"],
        created=stack["CreationTime"],
        tags=tags,
        exports=frozenset(one["ExportName"] for one in stack.get("Outputs", ()) if one.get("ExportName")),
        imports=frozenset(_imports(template)),
        template=template,
        resources=tuple(resources),
    )


def _template(session: Session, region: str, stack_id: str) -> Mapping[str, Any]:
    """Return the stack's template; a stack that was only reviewed, or one not written in JSON, has none for us."""
    try:
        body: Any = session.client("cloudformation", region_name=region).get_template(StackName=stack_id)[
            "TemplateBody"
        ]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return {}
        raise
    return body if isinstance(body, Mapping) else {}


def _imports(value: object) -> Iterator[str]:
    """Yield the names of all exports that a template imports."""
    if isinstance(value, Mapping):
        name = value.get("Fn::ImportValue")
        if isinstance(name, str):
            yield name
        for inner in value.values():
            yield from _imports(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _imports(inner)
