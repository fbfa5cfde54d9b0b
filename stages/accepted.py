"""What is accepted, read back from a synthesized assembly. Needs no CDK, so that a gate can read it at once.

`stages.acknowledgements` writes it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Type of the metadata that holds a reason, next to what CDK records itself.
REASON = "accepted-finding"
_SCANNER_RULES = ("CKV_", "CKV2_")
"""How the rules of checkov begin, which looks at the finished templates and knows nothing of CDK's own validation."""

#: Accepted in the bootstrap's policies, which belong to no construct.
BOOTSTRAP: Mapping[str, str] = {
    "CKV_AWS_109": "CloudFormation sets the policies of the keys that a template makes, whose ARNs are made of random "
    "ids: IAM has nothing to narrow by. Roles and policies are narrowed by name.",
    "CKV_AWS_111": "What writes on every resource takes no resource, or only one made of random ids (networks, keys, "
    "certificates); all else is narrowed by our names, which a test compares with every template.",
}


@dataclass(frozen=True, kw_only=True, order=True)
class Accepted:
    """One finding that is accepted on one construct."""

    path: str
    """Construct path, such as `Dev/Network/Network/Vpc`."""
    rule: str
    """Rule id, with the finding in brackets where a rule has several."""
    reason: str
    """Why."""

    def covers(self, path: str, rule: str) -> bool:
        """Whether it accepts a finding of this rule on the construct at `path`, which may lie inside its own."""
        return rule == self.rule and f"{path}/".startswith(f"{self.path}/")


def is_scanner_rule(rule: str) -> bool:
    """Tell a rule of the scanner (`pipeline.gates.scanners`) from one of the rule packs."""
    return rule.startswith(_SCANNER_RULES)


def accepted(assembly: Path) -> Iterator[Accepted]:
    """Every acknowledgement in an assembly and in the assemblies inside it."""
    for file in sorted(assembly.rglob("*.metadata.json")):
        for path, entries in json.loads(file.read_text(encoding="utf-8")).items():
            for entry in entries:
                if entry["type"] == REASON:
                    for rule, reason in entry["data"].items():
                        yield Accepted(path=path.removeprefix("/"), rule=rule, reason=reason)


def accepted_in_bootstrap() -> list[Accepted]:
    """Every acknowledgement for the policies in `pipeline/bootstrap`."""
    return [Accepted(path="bootstrap", rule=rule, reason=reason) for rule, reason in BOOTSTRAP.items()]
