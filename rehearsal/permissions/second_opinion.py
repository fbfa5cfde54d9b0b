"""`make second-opinion`: have another policy engine decide the calls of the last rehearsal again.

`@cloud-copilot/iam-simulate` knows the service authorization reference: it refuses to decide an action, a resource type
or a condition key that does not exist, which reveals errors in how the rehearsal describes a call. It is installed when
this runs and is not a dependency.

Exit status: 0 the engines agree on every call that both decide, 1 they do not.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal.emulator.authorization import evaluation
from rehearsal.emulator.authorization.authority import policy_owner

_PACKAGE = "@cloud-copilot/iam-simulate@0.1.173"
_FOLDER = Path(".run/second-opinion")
_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_REHEARSED = Path(".run/rehearsal")


def main() -> int:
    """Compare the two engines."""
    decisions = json.loads((_REHEARSED / "decisions.json").read_text(encoding="utf-8"))["decisions"]
    policies = json.loads((_REHEARSED / "policies.json").read_text(encoding="utf-8"))
    known = [entry for entry in decisions if _is_known(entry, policies)]
    verdicts = _decide([_case(entry, policies) for entry in known])
    counts: Counter[str] = Counter()
    for entry, verdict in zip(known, verdicts, strict=True):
        if verdict.startswith("error"):
            counts["not decided"] += 1
            print(f"not decided: {entry['action']} on {entry['resource']}: {verdict.removeprefix('error: ')}")
        elif (verdict == "Allowed") == entry["allowed"]:
            counts["agreed"] += 1
        else:
            counts["disagreed"] += 1
            call = f"{entry['principal']} {entry['action']} on {entry['resource']}"
            print(f"disagreed: {call}: {verdict}, here {entry['reason']}")
    print(
        f"{len(decisions)} calls: {counts['agreed']} decided alike, {counts['disagreed']} differently, "
        f"{counts['not decided']} that the other engine does not decide, "
        f"{len(decisions) - len(known)} by principals that are deleted"
    )
    return 1 if counts["disagreed"] else 0


def _is_known(entry: Mapping[str, Any], policies: Mapping[str, Any]) -> bool:
    """Return whether the policies of the principal are known; a call is compared only then."""
    principal = evaluation.role_arn(entry["principal"])
    return principal in policies["principals"] or not principal.startswith("arn:")


def _case(entry: Mapping[str, Any], policies: Mapping[str, Any]) -> Mapping[str, Any]:
    principal = evaluation.role_arn(entry["principal"])
    own = policies["principals"].get(principal, {"identity": {}, "boundary": None})
    if principal.endswith(":root"):  # of an account of AWS, whose policies are not public
        own = {"identity": {"everything": _EVERYTHING}, "boundary": None}
    context = {
        "aws:SecureTransport": "true",
        "aws:PrincipalAccount": policies["account"],
        "aws:ResourceAccount": policies["account"],
        **({"aws:PrincipalArn": principal} if principal.startswith("arn:") else {}),
        **{key: value for key, value in entry["context"].items() if value is not None},
    }
    return {
        "principal": entry["principal"],
        "action": entry["action"],
        "resource": entry["resource"],
        "account": policies["account"],
        "context": context,
        "given": entry["context"],
        "identity": own["identity"],
        "boundary": own["boundary"],
        "resourcePolicy": policies["resources"].get(policy_owner(entry["action"], entry["resource"])),
    }


def _decide(cases: list[Mapping[str, Any]]) -> list[str]:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(_FOLDER)]
    subprocess.run([*install, _PACKAGE], check=True)
    script = _FOLDER / "second_opinion.mjs"  # Node resolves packages from the folder of the script
    script.write_text((Path(__file__).parent / "second_opinion.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    result = subprocess.run(
        ["node", str(script)],
        input=json.dumps(cases),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"NODE_NO_WARNINGS": "1"},
    )
    verdicts: list[str] = json.loads(result.stdout)
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
