"""Create-only properties of named resources: CloudFormation cannot replace a resource under its current name."""

from collections.abc import Mapping

from tests.stages.model import Json, Templates, create_only, name_property

#: New revisions of a family replace each other under the same name by design.
REVISED = frozenset({"AWS::ECS::TaskDefinition"})


def named(templates: Templates) -> dict[str, Json]:
    """Named resources, as `type name`, and the values of their create-only properties."""
    found = {}
    for resource in templates.resources:
        name = name_property(resource.type)
        if name is None or resource.type in REVISED:
            continue
        values = {
            each: templates.resolve(resource.stack, resource[each])
            for each in sorted(create_only(resource.type) & set(resource.properties) - {name})
        }
        if values:
            found[f"{resource.type} {templates.resolve(resource.stack, resource[name])}"] = values
    return found


def replaced_in_place(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[str]:
    """Resources that would have to be replaced under an unchanged name, as messages."""
    return [
        f"{name}: {each} changes from {before[name].get(each)!r} to {after[name].get(each)!r}"
        for name in before
        if name in after
        for each in sorted(before[name].keys() | after[name].keys())
        if before[name].get(each) != after[name].get(each)
    ]
