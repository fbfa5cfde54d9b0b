"""Mutation test of permissions: `python -m rehearsal.permissions.mutants REASONS`.

Each action is removed from each policy of the rehearsed account in turn, and the calls of the rehearsal that the policy
applies to are decided again. A mutant is killed when one of them is denied. A survivor is a permission that no
rehearsal uses: either it is too much, or `REASONS` explains it.

It reads what the last rehearsal left: `.run/rehearsal/decisions.json` and `.run/rehearsal/policies.json`.
`REASONS` is JSON: `{"<owner pattern>": {"<action pattern>": "<reason>"}}`, with patterns as in `fnmatch`.

Exit status: 0 every survivor has a reason, 1 some have none, or a reason has no survivor; 2 nothing was rehearsed.
"""

import argparse
import copy
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rehearsal.account.sessions import REGION
from rehearsal.emulator.authorization import evaluation
from rehearsal.emulator.authorization.authority import policy_owner
from rehearsal.emulator.authorization.calls import Call, Policies
from rehearsal.emulator.authorization.decision_log import call_from_json

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """An action removed from a statement of a policy; `killed_by` is the first call that is denied without it."""

    owner: str
    policy: str
    action: str
    killed_by: Call | None = None


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """The allowed calls of a rehearsal, and the policies of its account."""

    account: str
    calls: Sequence[Call]
    principals: Mapping[str, Mapping[str, Any]]
    resources: Mapping[str, Document]

    @classmethod
    def read(cls, folder: Path) -> "Rehearsed":
        """Read the files of the last rehearsal."""
        decisions = json.loads((folder / "decisions.json").read_text(encoding="utf-8"))["decisions"]
        policies = json.loads((folder / "policies.json").read_text(encoding="utf-8"))
        return cls(
            account=policies["account"],
            calls=[call_from_json(entry) for entry in decisions if entry["allowed"]],
            principals=policies["principals"],
            resources=policies["resources"],
        )

    def mutants(self) -> Iterator[Mutant]:
        """Yield every mutant."""
        for owner, found in self.principals.items():
            calls = [call for call in self.calls if evaluation.role_arn(call.principal) == owner]
            for name, document in found["identity"].items():
                for action, mutated in _without_one_action(document):
                    documents = {**found["identity"], name: mutated}
                    killer = self._first_denied(calls, action, identity={owner: documents})
                    yield Mutant(owner=owner, policy=name, action=action, killed_by=killer)
        for owner, document in self.resources.items():
            calls = [call for call in self.calls if policy_owner(call.action, call.resource) == owner]
            for action, mutated in _without_one_action(document):
                killer = self._first_denied(calls, action, resources={owner: mutated})
                yield Mutant(owner=owner, policy="resource policy", action=action, killed_by=killer)

    def _first_denied(
        self,
        calls: Sequence[Call],
        action: str,
        *,
        identity: Mapping[str, Mapping[str, Document]] | None = None,
        resources: Mapping[str, Document] | None = None,
    ) -> Call | None:
        pattern = action.lower()
        for call in calls:
            if fnmatchcase(call.action.lower(), pattern) and not self._allowed(call, identity or {}, resources or {}):
                return call
        return None

    def _allowed(
        self, call: Call, identity: Mapping[str, Mapping[str, Document]], resources: Mapping[str, Document]
    ) -> bool:
        principal, owner = evaluation.role_arn(call.principal), policy_owner(call.action, call.resource)
        found = self.principals.get(principal, {"identity": {}, "boundary": None})
        policies = Policies(
            identity=identity.get(principal, found["identity"]),
            boundary=found["boundary"],
            resource=resources.get(owner, self.resources.get(owner)),
        )
        return evaluation.decide(call, policies, account=self.account, region=REGION).allowed


def _without_one_action(document: Document) -> Iterator[tuple[str, Document]]:
    """Yield each allowed action with the document without it."""
    statements = document.get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    for number, statement in enumerate(statements):
        if statement.get("Effect") != "Allow" or "Action" not in statement:
            continue
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        for action in actions:
            mutated = copy.deepcopy({**document, "Statement": statements})
            rest = [other for other in actions if other != action]
            mutated["Statement"][number]["Action"] = rest
            if not rest:
                del mutated["Statement"][number]
            yield action, mutated


class Reasons:
    """The reasons for permissions that no rehearsal uses."""

    def __init__(self, table: Mapping[str, Mapping[str, str]]) -> None:
        self._table = table
        self._used: set[tuple[str, str]] = set()

    def reason_for(self, mutant: Mutant) -> str | None:
        """Return the reason for a survivor."""
        for owner, actions in self._table.items():
            for action, reason in actions.items():
                if fnmatchcase(mutant.owner, owner) and fnmatchcase(mutant.action, action):
                    self._used.add((owner, action))
                    return reason
        return None

    def unused(self) -> list[tuple[str, str]]:
        """Return the entries that explained no survivor."""
        entries = [(owner, action) for owner, actions in self._table.items() for action in actions]
        return [entry for entry in entries if entry not in self._used]


def main(arguments: Sequence[str] | None = None) -> int:
    """Test the permissions of the last rehearsal; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.permissions.mutants")
    parser.add_argument("reasons", type=Path)
    parser.add_argument("--rehearsed", type=Path, default=Path(".run/rehearsal"))
    options = parser.parse_args(arguments)
    evaluation.correct_condition_keys()
    try:
        mutants = list(Rehearsed.read(options.rehearsed).mutants())
    except FileNotFoundError as error:
        print(f"nothing was rehearsed: {error.filename} is missing; run `make rehearse APPROVE=auto` first")
        return 2
    reasons = Reasons(json.loads(options.reasons.read_text(encoding="utf-8")))
    survivors = [mutant for mutant in mutants if mutant.killed_by is None]
    unexplained = [mutant for mutant in survivors if reasons.reason_for(mutant) is None]
    for mutant in unexplained:
        print(f"{mutant.owner}, {mutant.policy}: no call needs {mutant.action}")
    for owner, action in reasons.unused():
        print(f"{options.reasons}: the reason for {action} of {owner} explains no survivor")
    killed = len(mutants) - len(survivors)
    print(
        f"{len(mutants)} permissions removed one at a time: {killed} needed by a call, "
        f"{len(survivors) - len(unexplained)} with a reason, {len(unexplained)} unexplained"
    )
    return 1 if unexplained or reasons.unused() else 0


if __name__ == "__main__":
    sys.exit(main())
