"""Synthesized templates, as the tests read them."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]  # cfn-lint ships no types

PROJECT = Path(__file__).parents[2]
REGION = "us-east-1"
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource of one template."""

    stack: str
    logical_id: str
    body: Json

    @property
    def type(self) -> str:
        return str(self.body["Type"])

    @property
    def properties(self) -> Json:
        return dict(self.body.get("Properties", {}))

    @property
    def depends_on(self) -> list[str]:
        depends = self.body.get("DependsOn", [])
        return [depends] if isinstance(depends, str) else list(depends)

    def __getitem__(self, name: str) -> Any:
        return self.properties[name]

    def __str__(self) -> str:
        return f"{self.stack}/{self.logical_id} ({self.type})"


@dataclass(frozen=True, kw_only=True)
class Templates:
    """The templates of one stage, by stack name."""

    by_stack: Mapping[str, Json]

    @classmethod
    def of(cls, assembly: Path) -> "Templates":
        manifest = json.loads((assembly / "manifest.json").read_text())
        stacks = {
            artifact.get("properties", {}).get("stackName", name): artifact
            for name, artifact in manifest["artifacts"].items()
            if artifact["type"] == "aws:cloudformation:stack"
        }
        return cls(
            by_stack={
                name: json.loads((assembly / artifact["properties"]["templateFile"]).read_text())
                for name, artifact in stacks.items()
            }
        )

    @cached_property
    def resources(self) -> list[Resource]:
        return [
            Resource(stack=stack, logical_id=logical_id, body=body)
            for stack, template in self.by_stack.items()
            for logical_id, body in template["Resources"].items()
        ]

    def all(self, resource_type: str, *, stack: str = "") -> list[Resource]:
        """The resources of a type (or whose type starts with it, when it ends in `:`)."""
        return [
            each
            for each in self.resources
            if (each.type == resource_type or (resource_type.endswith(":") and each.type.startswith(resource_type)))
            and each.stack.startswith(stack)
        ]

    def one(self, resource_type: str, **properties: object) -> Resource:
        """The only resource of a type with these properties."""
        found = [
            each
            for each in self.all(resource_type)
            if all(each.properties.get(name) == value for name, value in properties.items())
        ]
        assert len(found) == 1, f"{len(found)} resources {resource_type} with {properties}"
        return found[0]

    def resolve(self, stack: str, value: Any) -> Any:
        """A reference as `payment-network-dev/LogicalId.Attribute` text, followed through exports; joins joined."""
        if isinstance(value, list):
            return [self.resolve(stack, item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            return {name: self.resolve(stack, item) for name, item in value.items()}
        (function, argument), *_ = value.items()
        match function:
            case "Ref":
                return argument if argument.startswith("AWS::") else f"{stack}/{argument}"
            case "Fn::GetAtt":
                return f"{stack}/{'.'.join(argument)}"
            case "Fn::ImportValue":
                exporter, _, name = argument.partition(":")
                return self.resolve(exporter, self.by_stack[exporter]["Outputs"][name]["Value"])
            case "Fn::Join":
                separator, parts = argument
                return separator.join(str(self.resolve(stack, part)) for part in parts)
            case _:
                return {function: self.resolve(stack, argument)}


def schema(resource_type: str) -> Json:
    """CloudFormation's schema of a type, as bundled with cfn-lint."""
    return dict(PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, resource_type).schema)


def create_only(resource_type: str) -> set[str]:
    """Properties whose change makes CloudFormation replace the resource."""
    return {path.split("/")[2] for path in schema(resource_type).get("createOnlyProperties", [])}


def name_property(resource_type: str) -> str | None:
    """The property that takes a resource's own physical name, or None where CloudFormation chooses it.

    Found in the schema: a writable text property called Name, Identifier or the like after the end of the type's own
    name (`GroupName` of a SecurityGroup, `DBClusterIdentifier` of a DBCluster).
    """
    if resource_type.startswith("Custom::") or resource_type == "AWS::Route53::RecordSet":
        return None  # a record's name is the domain that its owner chose
    if resource_type == "AWS::ECS::TaskDefinition":
        return "Family"  # the only name that does not say so
    kind = resource_type.rsplit("::", 1)[1]
    read_only = {path.split("/")[2] for path in schema(resource_type).get("readOnlyProperties", [])}
    for name in schema(resource_type)["properties"]:
        for ending in ("Name", "Identifier"):
            if name.endswith(ending) and kind.endswith(name.removesuffix(ending)) and name not in read_only:
                return str(name)
    return None


def walk(value: object, visit: Callable[[Any], None]) -> None:
    """Call `visit` for everything inside a template."""
    visit(value)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        walk(item, visit)


def statements(document: Json) -> Iterator[Json]:
    """The statements of a policy document, with actions and resources as lists."""
    found = document["Statement"]
    for statement in [found] if isinstance(found, dict) else found:
        yield {
            **statement,
            **{
                name: [statement[name]] if not isinstance(statement[name], list) else statement[name]
                for name in ("Action", "Resource")
                if name in statement
            },
        }
