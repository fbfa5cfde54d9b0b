"""A synthesized cloud assembly: the templates of the pipeline and of one environment, references resolved."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # CloudFormation's JSON


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource; every reference in its properties is resolved to `stack/LogicalId`."""

    id: str
    type: str
    properties: Mapping[str, Any]


class Templates:
    """The resources of all stacks of an assembly folder."""

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        self._templates: dict[str, Mapping[str, Any]] = {
            artifact["properties"].get("stackName", name): json.loads(
                (folder / artifact["properties"]["templateFile"]).read_text()
            )
            for name, artifact in manifest["artifacts"].items()
            if artifact["type"] == "aws:cloudformation:stack"
        }

    def all(self, kind: str) -> list[Resource]:
        """Return the resources of the type ``AWS::`` + ``kind``, in their order."""
        return list(self._resources(f"AWS::{kind}"))

    def one(self, kind: str) -> Resource:
        """Return the only resource of a type."""
        (found,) = self.all(kind)
        return found

    def _resources(self, kind: str) -> Iterator[Resource]:
        for stack, template in self._templates.items():
            for name, body in template["Resources"].items():
                if body["Type"] == kind:
                    properties = {key: self._resolve(stack, value) for key, value in body["Properties"].items()}
                    yield Resource(id=f"{stack}/{name}", type=kind, properties=properties)

    def _resolve(self, stack: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolve(stack, item) for item in value]
        if not isinstance(value, dict):
            return value
        match value:
            case {"Ref": str(name)}:
                return f"{stack}/{name}"
            case {"Fn::GetAtt": [str(name), *_]}:
                return f"{stack}/{name}"
            case {"Fn::ImportValue": str(export)}:
                exporter, _, name = export.partition(":")
                return self._resolve(exporter, self._templates[exporter]["Outputs"][name]["Value"])
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(str(self._resolve(stack, part)) for part in parts)
        return {name: self._resolve(stack, item) for name, item in value.items()}
