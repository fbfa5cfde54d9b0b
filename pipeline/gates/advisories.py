"""What both dependency audits share: when "could not ask" is a failure, and which vulnerabilities are accepted.

A vulnerability that does not matter here is accepted in `accepted_vulnerabilities.json`, with a reason and a last day.
"""

import datetime as dt
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.gates.emulation import is_emulated
from pipeline.gates.findings import Finding, GateError, Outcome, fail

ACCEPTED = Path(__file__).parent / "accepted_vulnerabilities.json"

Acceptances = Mapping[str, Mapping[str, Any]]
"""Name of a vulnerability to the `reason` of its acceptance and its last day, `until`."""


class UnreachableError(GateError):
    """The advisory service did not answer, or knows nothing of what was asked."""


def must_audit(environ: Mapping[str, str]) -> bool:
    """Whether "could not audit" is a failure: in CodeBuild, unless AWS itself is only emulated on this machine."""
    return bool(environ.get("CODEBUILD_BUILD_ID")) and not is_emulated(environ)


def judge(where: str, names: Sequence[str], remedy: str, accepted: Acceptances) -> Iterator[Finding]:
    """A finding for a vulnerability that has `names`, unless one of them is accepted today."""
    exceptions = [accepted[name] for name in names if name in accepted]
    if any(dt.date.fromisoformat(one["until"]) >= dt.datetime.now(dt.UTC).date() for one in exceptions):
        return
    over = "; its acceptance has ended" if exceptions else ""
    yield Finding(where=where, rule=names[0], message=f"known vulnerability, {remedy}{over}")


def conclude(
    gate: str,
    audit: Callable[[Acceptances], tuple[Collection[Any], list[Finding]]],
    *,
    environ: Mapping[str, str] = os.environ,
    accepted: Path = ACCEPTED,
) -> int:
    """Run an audit, which answers what it has asked about and what it found, and answer the gate's exit status."""
    try:
        asked, findings = audit(json.loads(accepted.read_text(encoding="utf-8")))
    except UnreachableError as error:
        if must_audit(environ):
            return fail(gate, error)
        return Outcome(gate=gate, checked=0, unit="packages", not_checked=str(error)).conclude()
    except GateError as error:
        return fail(gate, error)
    return Outcome(gate=gate, checked=len(asked), unit="packages", findings=findings).conclude()
