"""Lists the properties whose change replaces a resource: `python -m pipeline.gates.create_only cdk.out FILE`.

They come from the CloudFormation resource schemas in cfn-lint, for the resource types of the cloud assembly. The change
report then needs neither the schemas nor permission to read them from AWS.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cfnlint.schema import (  # type: ignore[import-untyped]  # ships no types
    PROVIDER_SCHEMA_MANAGER,
    ResourceNotFoundError,
)

from pipeline.gates.findings import GateError


def create_only(types: Sequence[str], region: str = "us-east-1") -> dict[str, Mapping[str, list[str]]]:
    """Return the create-only and conditionally create-only property pointers of each type; custom types have none."""
    return {kind: rules for kind in types if (rules := _rules(kind, region))}


def _rules(kind: str, region: str) -> Mapping[str, list[str]]:
    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, kind).schema
    except ResourceNotFoundError:
        return {}
    rules = {
        "createOnly": sorted(schema.get("createOnlyProperties", ())),
        "conditional": sorted(schema.get("conditionalCreateOnlyProperties", ())),
    }
    return {name: pointers for name, pointers in rules.items() if pointers}


def types_in(assembly: Path) -> list[str]:
    """Return every resource type in the templates of a cloud assembly.

    Raises:
        GateError: there is no template.
    """
    found = sorted(set(_types(assembly)))
    if not found:
        raise GateError(f"{assembly} contains no template. Run `make synth` first.")
    return found


def _types(assembly: Path) -> Iterator[str]:
    for path in assembly.rglob("*.template.json"):
        for resource in json.loads(path.read_text(encoding="utf-8")).get("Resources", {}).values():
            yield resource["Type"]


def main(assembly: str, target: str) -> None:
    """Write the properties of every resource type of a cloud assembly as JSON."""
    try:
        content = create_only(types_in(Path(assembly)))
    except GateError as error:
        sys.exit(str(error))
    Path(target).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
