"""Which stacks belong to an installation, and what they hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from boto3.session import Session
from botocore.exceptions import ClientError

#: Value of the tag `project` on every stack that this repository makes.
PROJECT = "payment-pipeline"

#: Name of the installation for which no environment suffix is configured.
MAIN = "main"

PIPELINE_TYPE = "AWS::CodePipeline::Pipeline"

#: States of a resource in which there is nothing to look at.
_ABSENT = frozenset({"CREATE_FAILED", "DELETE_COMPLETE"})


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One installation: what one `cdk deploy PipelineStack` and its pipeline have made.

    The tag `environment-suffix` tells: on the pipeline's own stacks it is the installation (`alice`, or `main`), on
    those of an environment it is the environment, a hyphen and the installation (`dev-alice`, or `dev` alone in the
    installation `main`). Environments have no hyphen in their names.
    """

    #: Value of the tag `project`.
    project: str = PROJECT
    #: The configured environment suffix, or `main`.
    name: str = MAIN

    def environment_suffix(self, environment: str) -> str:
        """Return the tag `environment-suffix` of one of its environments, `dev` for example."""
        return environment if self.name == MAIN else f"{environment}-{self.name}"

    def owns(self, tags: Mapping[str, str], *, is_pipeline: bool) -> bool:
        """Tell whether a stack with these tags, the pipeline's own or an environment's, belongs to it."""
        return tags.get("project") == self.project and self.name == name_of(tags, is_pipeline=is_pipeline)


def name_of(tags: Mapping[str, str], *, is_pipeline: bool) -> str | None:
    """Return the name of the installation that a stack's tags tell; None where they tell none."""
    suffix = tags.get("environment-suffix")
    if suffix is None or is_pipeline:
        return suffix
    return suffix.partition("-")[2] or MAIN


def is_of_pipeline(stack_name: str) -> bool:
    """Tell a pipeline's stacks, in its own and in other regions, from those of environments."""
    return stack_name.startswith("PipelineStack")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of a stack."""

    type: str
    #: Physical id.
    id: str


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack and what is needed to delete it in the right order and to sweep after it."""

    #: ARN, unique among regions and also after the stack is gone.
    id: str
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
        if self.has_pipeline or is_of_pipeline(self.name):
            return None
        return self.tags.get("environment-suffix")

    def ids(self, resource_type: str) -> list[str]:
        """Return the physical ids of its resources of one type."""
        return [resource.id for resource in self.resources if resource.type == resource_type]


def read_stack(session: Session, region: str, stack_id: str) -> Stack:
    """Read a stack that exists."""
    cloudformation = session.client("cloudformation", region_name=region)
    stack = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id)
    resources = [
        Resource(type=one["ResourceType"], id=one["PhysicalResourceId"])
        for page in pages
        for one in page["StackResourceSummaries"]
        if one.get("PhysicalResourceId") and one["ResourceStatus"] not in _ABSENT
    ]
    template = _template(session, region, stack_id)
    return Stack(
        id=stack_id,
        name=stack["StackName"],
        region=region,
        status=stack["StackStatus"],
        created=stack["CreationTime"],
        tags={tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())},
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
