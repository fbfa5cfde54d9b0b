"""Accepted findings, read back from a synthesized assembly. Needs no CDK, so gates can read them quickly.

`kit.acknowledgements` writes them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Type of the construct metadata that holds a reason, next to the metadata of CDK itself.
METADATA_TYPE = "accepted-finding"
#: Prefixes of the rules of checkov, which scans the finished templates and knows nothing of CDK's own validation.
_SCANNER_PREFIXES = ("CKV_", "CKV2_")

#: Findings accepted in the bootstrap policies, which belong to no construct: rule to reason.
BOOTSTRAP_FINDINGS: Mapping[str, str] = {
    "CKV_AWS_109": "CloudFormation sets the policies of the keys that a template creates, whose ARNs contain random "
    "ids: IAM has nothing to narrow them by. Roles and policies are narrowed by name.",
    "CKV_AWS_111": "Actions that write to every resource support no resource-level permission, or only ARNs with "
    "random ids (networks, keys, certificates); all others are narrowed by name, which a test compares with every "
    "template.",
}


@dataclass(frozen=True, kw_only=True, order=True)
class AcceptedFinding:
    """One finding that is accepted on one construct."""

    #: Construct path, such as `Dev/Network/Network/Vpc`.
    path: str
    #: Rule id, with the finding in brackets where a rule has several.
    rule: str
    #: Why it is accepted.
    reason: str

    def covers(self, path: str, rule: str) -> bool:
        """Return whether it covers a finding of this rule on the construct at `path`, or below it."""
        return rule == self.rule and f"{path}/".startswith(f"{self.path}/")


def is_scanner_rule(rule: str) -> bool:
    """Return whether a rule belongs to the scanner (`pipeline.gates.scanners`) rather than to a rule pack."""
    return rule.startswith(_SCANNER_PREFIXES)


def accepted_findings(assembly: Path) -> Iterator[AcceptedFinding]:
    """Yield every finding accepted in an assembly and in its nested assemblies."""
    for file in sorted(assembly.rglob("*.metadata.json")):
        for path, entries in json.loads(file.read_text(encoding="utf-8")).items():
            for entry in entries:
                if entry["type"] == METADATA_TYPE:
                    for rule, reason in entry["data"].items():
                        yield AcceptedFinding(path=path.removeprefix("/"), rule=rule, reason=reason)


def accepted_bootstrap_findings() -> list[AcceptedFinding]:
    """Return every finding accepted in the policies of `pipeline/bootstrap`."""
    return [AcceptedFinding(path="bootstrap", rule=rule, reason=why) for rule, why in BOOTSTRAP_FINDINGS.items()]
