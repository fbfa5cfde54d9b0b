"""Resources that are added, changed, replaced and removed between two templates of a stack."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = Any  # a template is JSON of any shape
Template = Mapping[str, Json]
#: Resource type to its `createOnly` and `conditional` property pointers, in the notation of the resource schemas.
CreateOnly = Mapping[str, Mapping[str, list[str]]]

#: Types that hold data, or a key that data is encrypted with: deleting such a resource loses data.
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
#: Engines whose instances hold no data: their cluster does.
_AURORA = "aurora"
_IGNORED = frozenset({"AWS::CDK::Metadata"})


class ChangeKind(StrEnum):
    """What happens to a resource."""

    ADDED = "added"
    CHANGED = "changed"
    REPLACED = "replaced"
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True)
class ResourceChange:
    """A resource that a deployment would change."""

    stack: str
    logical_id: str
    type: str
    kind: ChangeKind
    #: Properties that differ; of a replaced resource those that force the replacement.
    properties: tuple[str, ...] = ()
    stateful: bool = False

    @property
    def name(self) -> str:
        """Name of the resource in reports and commit messages."""
        return f"{self.stack}/{self.logical_id}"

    @property
    def loses_state(self) -> bool:
        """Whether the data in the resource would be lost."""
        return self.stateful and self.kind in (ChangeKind.REPLACED, ChangeKind.REMOVED)

    def __str__(self) -> str:
        """The change on one line."""
        why = f" ({', '.join(self.properties)})" if self.properties else ""
        return f"{self.kind:9}{self.type} {self.name}{why}"


@dataclass(frozen=True, kw_only=True)
class StackComparison:
    """A comparison of two templates of a stack; `before` is empty for a new stack."""

    stack: str
    before: Template
    after: Template
    create_only: CreateOnly
    _replaced: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def changes(self) -> list[ResourceChange]:
        """Return every change, ordered by kind and logical id."""
        old, new = _resources(self.before), _resources(self.after)
        found = [self._change(name, new[name], ChangeKind.ADDED) for name in new.keys() - old.keys()]
        found += [self._change(name, old[name], ChangeKind.REMOVED) for name in old.keys() - new.keys()]
        common = old.keys() & new.keys()
        self._find_replaced(old, new)
        for name in common:
            if name in self._replaced:
                found.append(self._change(name, old[name], ChangeKind.REPLACED, self._replaced[name]))
            elif differing := tuple(_differing(old[name], new[name])):
                found.append(self._change(name, new[name], ChangeKind.CHANGED, differing))
        order = list(ChangeKind)
        return sorted(found, key=lambda one: (order.index(one.kind), one.logical_id))

    def _change(self, name: str, resource: Json, kind: ChangeKind, properties: tuple[str, ...] = ()) -> ResourceChange:
        return ResourceChange(
            stack=self.stack,
            logical_id=name,
            type=resource["Type"],
            kind=kind,
            properties=properties,
            stateful=_is_stateful(resource),
        )

    def _find_replaced(self, old: Mapping[str, Json], new: Mapping[str, Json]) -> None:
        """Find replacements, and those that follow from a create-only property referring to a replaced resource."""
        found = True
        while found:
            found = False
            for name in old.keys() & new.keys() - self._replaced.keys():
                forced = tuple(self._forced(old[name], new[name]))
                if forced:
                    self._replaced[name] = forced
                    found = True

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
    """Yield the logical ids that a value refers to."""
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
    """Yield the properties that differ, and the policies for deletion and replacement."""
    before, after = old.get("Properties", {}), new.get("Properties", {})
    yield from sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    yield from (name for name in ("DeletionPolicy", "UpdateReplacePolicy") if old.get(name) != new.get(name))


def _at(resource: Json, pointer: str) -> Json:
    """Return the value at a pointer such as `/properties/A/B`; an array counts as one value."""
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
