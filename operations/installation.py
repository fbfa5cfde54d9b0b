"""Which stacks belong to an installation, and what they contain."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any  # templates are untyped JSON

from boto3.session import Session
from botocore.exceptions import ClientError

#: Value of the tag `project` on every stack of this repository.
PROJECT = "payment-pipeline"
#: Name of the installation without an environment suffix.
MAIN = "main"

PIPELINE_TYPE = "AWS::CodePipeline::Pipeline"
#: States of a resource that does not exist.
_NONEXISTENT = frozenset({"CREATE_FAILED", "DELETE_COMPLETE"})


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One installation: what one `cdk deploy PipelineStack` and its pipeline have deployed.

    The tag `environment-suffix` identifies it: on the pipeline's own stacks it is the installation (`alice`, or
    `main`), on those of an environment it is the environment, a hyphen and the installation (`dev-alice`, or just `dev`
    in the installation `main`). Names of environments contain no hyphen.
    """

    #: Value of the tag `project`.
    project: str = PROJECT
    #: The configured environment suffix, or `main`.
    name: str = MAIN

    def environment_suffix(self, environment: str) -> str:
        """Return the tag `environment-suffix` of one of its environments, such as `dev`."""
        return environment if self.name == MAIN else f"{environment}-{self.name}"

    def owns(self, tags: Mapping[str, str], *, is_pipeline: bool) -> bool:
        """Return whether a stack with these tags, of the pipeline or of an environment, belongs to it."""
        return tags.get("project") == self.project and self.name == installation_name(tags, is_pipeline=is_pipeline)


def installation_name(tags: Mapping[str, str], *, is_pipeline: bool) -> str | None:
    """Return the name of the installation in a stack's tags, or None without one."""
    suffix = tags.get("environment-suffix")
    if suffix is None or is_pipeline:
        return suffix
    return suffix.partition("-")[2] or MAIN


def is_pipeline_stack(stack_name: str) -> bool:
    """Return whether a stack belongs to the pipeline, in whatever region, rather than to an environment."""
    return stack_name.startswith("PipelineStack")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of a stack."""

    type: str
    #: Physical id.
    id: str


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack, with what is needed to delete it in the right order and to clean up after it."""

    #: ARN, which is unique across regions and still valid after the deletion.
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
        """Whether it contains the pipeline itself."""
        return bool(self.ids(PIPELINE_TYPE))

    @property
    def environment(self) -> str | None:
        """The environment that it belongs to; None for PipelineStack and its replicas in other regions."""
        if self.has_pipeline or is_pipeline_stack(self.name):
            return None
        return self.tags.get("environment-suffix")

    def ids(self, resource_type: str) -> list[str]:
        """Return the physical ids of its resources of one type."""
        return [resource.id for resource in self.resources if resource.type == resource_type]


def read_stack(session: Session, region: str, stack_id: str) -> Stack:
    """Read an existing stack."""
    cloudformation = session.client("cloudformation", region_name=region)
    stack = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id)
    resources = [
        Resource(type=summary["ResourceType"], id=summary["PhysicalResourceId"])
        for page in pages
        for summary in page["StackResourceSummaries"]
        if summary.get("PhysicalResourceId") and summary["ResourceStatus"] not in _NONEXISTENT
    ]
    template = _template(session, region, stack_id)
    return Stack(
        id=stack_id,
        name=stack["StackName"],
        region=region,
        status=stack["StackStatus"],
        created=stack["CreationTime"],
        tags={tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())},
        exports=frozenset(output["ExportName"] for output in stack.get("Outputs", ()) if output.get("ExportName")),
        imports=frozenset(_imports(template)),
        template=template,
        resources=tuple(resources),
    )


def _template(session: Session, region: str, stack_id: str) -> Mapping[str, Any]:
    """Return the stack's template; empty if the stack is in review, or its template is not JSON."""
    try:
        body: object = session.client("cloudformation", region_name=region).get_template(StackName=stack_id)[
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
