"""The synthesized pipeline, as the tests read it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PROJECT = Path(__file__).parents[2]
TOOLING, PRODUCTION = "111111111111", "222222222222"
_CERTIFICATE = "arn:aws:acm:{}:{}:certificate/00000000-0000-0000-0000-000000000000"

#: A tooling account with dev; prod in another account and region, to cover what crosses either.
CONFIGURED: Mapping[str, Any] = {
    "connection_arn": f"arn:aws:codeconnections:us-east-1:{TOOLING}:connection/00000000-0000-4000-8000-000000000000",
    "repository": "owner/name",
    "alarm_email": "operators@example.com",
    "certificate_arn": _CERTIFICATE.format("us-east-1", TOOLING),
}
ELSEWHERE: Mapping[str, Any] = {
    "environments.prod.account": PRODUCTION,
    "environments.prod.region": "eu-west-1",
    "environments.prod.availability_zone_ids": "euw1-az1,euw1-az2,euw1-az3",
    "environments.prod.certificate_arn": _CERTIFICATE.format("eu-west-1", PRODUCTION),
}
#: Optional features, one in each environment.
VARIANTS: Mapping[str, Any] = {
    "environments.prod.deployment_strategy": "canary",
    "environments.dev.domain_name": "pay.example.com",
    "environments.dev.hosted_zone_id": "Z0123456789ABCDEFGHIJ",
    "environments.dev.hosted_zone_name": "example.com",
}


@dataclass(frozen=True, kw_only=True)
class Template:
    """A synthesized template."""

    body: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(body=json.loads(path.read_text()))

    def all(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Resources of a type, by logical id."""
        return {name: one for name, one in self.body["Resources"].items() if one["Type"] == kind}

    def one(self, kind: str) -> Mapping[str, Any]:
        """Properties of the only resource of a type."""
        (found,) = self.all(kind).values()
        properties: Mapping[str, Any] = found["Properties"]
        return properties

    def named(self, kind: str, key: str, name: str) -> Mapping[str, Any]:
        """Properties of the resource of a type with this name."""
        (found,) = [one["Properties"] for one in self.all(kind).values() if one["Properties"].get(key) == name]
        return dict(found)

    def statements(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every policy statement that any role has, with the policy's logical id."""
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            for name, one in self.all(kind).items():
                yield from ((name, item) for item in one["Properties"]["PolicyDocument"]["Statement"])
        for name, one in self.all("AWS::IAM::Role").items():
            for policy in one["Properties"].get("Policies", ()):
                yield from ((name, item) for item in policy["PolicyDocument"]["Statement"])

    def policy(self, name: str) -> dict[str, Mapping[str, Any]]:
        """Statements of the managed policy `name`, by their Sid."""
        document = self.named("AWS::IAM::ManagedPolicy", "ManagedPolicyName", name)["PolicyDocument"]
        return {item["Sid"]: item for item in document["Statement"]}


@dataclass(frozen=True, kw_only=True)
class Synthesized:
    """One synthesis of the whole app."""

    folder: Path
    stack_name: str = "PipelineStack"

    @property
    def stack(self) -> Template:
        return Template.read(self.folder / "PipelineStack.template.json")

    @property
    def templates(self) -> dict[str, Template]:
        """Every template of the assembly and of those inside it, by file name."""
        return {path.name: Template.read(path) for path in self.folder.rglob("*.template.json")}

    @property
    def pipeline(self) -> Mapping[str, Any]:
        return self.stack.one("AWS::CodePipeline::Pipeline")

    @property
    def stages(self) -> dict[str, list[Mapping[str, Any]]]:
        """Actions of every stage in the order in which they run."""
        return {
            stage["Name"]: sorted(stage["Actions"], key=lambda action: (action["RunOrder"], action["Name"]))
            for stage in self.pipeline["Stages"]
        }

    def action(self, stage: str, name: str) -> Mapping[str, Any]:
        (found,) = [one for one in self.stages[stage] if one["Name"] == name]
        return found

    def project(self, name: str) -> Mapping[str, Any]:
        """Properties of the CodeBuild project `project-<name>-<suffix>`."""
        found = [
            one["Properties"]
            for one in self.stack.all("AWS::CodeBuild::Project").values()
            if one["Properties"]["Name"].startswith(f"project-{name}-")
        ]
        (only,) = found
        return dict(only)

    def build_spec(self, name: str) -> Mapping[str, Any]:
        """The build specification of a project: inline, or the file of the assembly that it names."""
        text = self.project(name)["Source"]["BuildSpec"]
        if isinstance(text, str) and text.endswith(".yaml"):
            text = (self.folder / text).read_text()
        return dict(json.loads(resolve(text)))


def resolve(value: Any) -> Any:
    """A value with `Fn::Join` resolved and references as `${LogicalId}` or `${LogicalId.Attribute}`."""
    if isinstance(value, list):
        return [resolve(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(map(str, resolve(parts)))
    if "Ref" in value:
        return "aws" if value["Ref"] == "AWS::Partition" else f"${{{value['Ref']}}}"
    if "Fn::GetAtt" in value:
        return f"${{{'.'.join(value['Fn::GetAtt'])}}}"
    return {key: resolve(one) for key, one in value.items()}
