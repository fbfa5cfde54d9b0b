"""Resources added, changed, replaced and removed between two templates of one stack."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = Any
Template = Mapping[str, Json]
CreateOnly = Mapping[str, Mapping[str, list[str]]]
"""Resource type to its `createOnly` and `conditional` property pointers, as the CloudFormation registry names them."""

#: Types that hold what cannot be made again. Losing one of them loses data, or what other data is encrypted with.
STATEFUL = frozenset(
    {
        "AWS::DynamoDB::Table",
        "AWS::EFS::FileSystem",
        "AWS::KMS::Key",
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
        "AWS::S3::Bucket",
        "AWS::SecretsManager::Secret",
    }
)
#: An Aurora instance holds no data: its cluster does.
_AURORA = "aurora"
_IGNORED = frozenset({"AWS::CDK::Metadata"})


class Kind(StrEnum):
    """What happens to a resource."""

    ADDED = "added"
    CHANGED = "changed"
    REPLACED = "replaced"
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One resource that a deployment would touch."""

    stack: str
    logical_id: str
    type: str
    kind: Kind
    properties: tuple[str, ...] = ()
    """Properties that differ; of a replaced resource those that force the replacement."""
    stateful: bool = False

    @property
    def name(self) -> str:
        """How a person refers to the resource."""
        return f"{self.stack}/{self.logical_id}"

    @property
    def loses_state(self) -> bool:
        """Whether what the resource holds would be gone."""
        return self.stateful and self.kind in (Kind.REPLACED, Kind.REMOVED)

    def __str__(self) -> str:
        """The change on one line."""
        why = f" ({', '.join(self.properties)})" if self.properties else ""
        return f"{self.kind:9}{self.type} {self.name}{why}"


@dataclass(frozen=True, kw_only=True)
class StackComparison:
    """Compares two templates of a stack. `before` is empty for a stack that does not exist yet."""

    stack: str
    before: Template
    after: Template
    create_only: CreateOnly
    _replaced: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def changes(self) -> list[Change]:
        """Every change, ordered by kind and logical id."""
        old, new = _resources(self.before), _resources(self.after)
        found = [self._change(name, new[name], Kind.ADDED) for name in new.keys() - old.keys()]
        found += [self._change(name, old[name], Kind.REMOVED) for name in old.keys() - new.keys()]
        common = old.keys() & new.keys()
        self._find_replaced(old, new)
        for name in common:
            if name in self._replaced:
                found.append(self._change(name, old[name], Kind.REPLACED, self._replaced[name]))
            elif differing := tuple(_differing(old[name], new[name])):
                found.append(self._change(name, new[name], Kind.CHANGED, differing))
        order = list(Kind)
        return sorted(found, key=lambda one: (order.index(one.kind), one.logical_id))

    def _change(self, name: str, resource: Json, kind: Kind, properties: tuple[str, ...] = ()) -> Change:
        return Change(
            stack=self.stack,
            logical_id=name,
            type=resource["Type"],
            kind=kind,
            properties=properties,
            stateful=_is_stateful(resource),
        )

    def _find_replaced(self, old: Mapping[str, Json], new: Mapping[str, Json]) -> None:
        """Replacements, and those that follow because a create-only property refers to something replaced."""
        again = True
        while again:
            again = False
            for name in old.keys() & new.keys() - self._replaced.keys():
                forced = tuple(self._forced(old[name], new[name]))
                if forced:
                    self._replaced[name] = forced
                    again = True

    def _forced(self, old: Json, new: Json) -> Iterator[str]:
        if old["Type"] != new["Type"]:
            yield "Type"
            return
        rules = self.create_only.get(new["Type"], {})
        for pointer, note in (
            *((one, "") for one in rules.get("createOnly", ())),
            *((one, ", perhaps") for one in rules.get("conditional", ())),
        ):
            before, after = _at(old, pointer), _at(new, pointer)
            if before != after or (after is not None and self._refers_to_replaced(after)):
                yield pointer.removeprefix("/properties/").split("/*")[0].replace("/", ".") + note

    def _refers_to_replaced(self, value: Json) -> bool:
        return any(name in self._replaced for name in references(value))


def references(value: Json) -> Iterator[str]:
    """Logical ids that a value refers to."""
    if isinstance(value, list):
        for one in value:
            yield from references(one)
    elif isinstance(value, Mapping):
        if "Ref" in value:
            yield value["Ref"]
        elif "Fn::GetAtt" in value:
            target = value["Fn::GetAtt"]
            yield target[0] if isinstance(target, list) else str(target).split(".")[0]
        for one in value.values():
            yield from references(one)


def _resources(template: Template) -> dict[str, Json]:
    return {name: one for name, one in template.get("Resources", {}).items() if one["Type"] not in _IGNORED}


def _differing(old: Json, new: Json) -> Iterator[str]:
    """Properties that differ, and the policies that decide what becomes of the resource later."""
    before, after = old.get("Properties", {}), new.get("Properties", {})
    yield from sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    yield from (name for name in ("DeletionPolicy", "UpdateReplacePolicy") if old.get(name) != new.get(name))


def _at(resource: Json, pointer: str) -> Json:
    """The value at a pointer such as `/properties/A/B`; below an array everything counts as one value."""
    value = resource.get("Properties", {})
    for part in pointer.split("/")[2:]:
        if part == "*" or not isinstance(value, Mapping) or any(key.startswith("Fn::") for key in value):
            break
        value = value.get(part)
    return value


def _is_stateful(resource: Json) -> bool:
    engine = resource.get("Properties", {}).get("Engine", "")
    if resource["Type"] == "AWS::RDS::DBInstance" and isinstance(engine, str) and engine.startswith(_AURORA):
        return False
    return resource["Type"] in STATEFUL
