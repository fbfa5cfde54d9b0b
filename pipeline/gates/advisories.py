"""What both dependency audits share: accepted vulnerabilities, and whether an audit that was impossible is a failure.

A vulnerability is accepted in `accepted_vulnerabilities.json`, with a reason and the last day of its acceptance.
"""

import datetime as dt
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.gates.findings import Finding, GateError, GateResult, fail

ACCEPTED = Path(__file__).parent / "accepted_vulnerabilities.json"

#: Vulnerability id to the `reason` of its acceptance and to `until`, its last day.
Acceptances = Mapping[str, Mapping[str, str]]


class UnreachableError(GateError):
    """The advisory service did not respond, or knows none of the packages."""


def must_audit(environ: Mapping[str, str]) -> bool:
    """Return whether an impossible audit is a failure: in CodeBuild, unless it talks to an AWS emulator."""
    host = urlsplit(environ.get("AWS_ENDPOINT_URL", "")).hostname or ""
    is_emulated = host == "localhost" or host.startswith("127.")
    return bool(environ.get("CODEBUILD_BUILD_ID")) and not is_emulated


def unless_accepted(where: str, ids: Sequence[str], details: str, accepted: Acceptances) -> Iterator[Finding]:
    """Yield a finding for a vulnerability known by `ids`, unless one of them is accepted today."""
    acceptances = [accepted[name] for name in ids if name in accepted]
    today = dt.datetime.now(dt.UTC).date()
    if any(dt.date.fromisoformat(one["until"]) >= today for one in acceptances):
        return
    expired = "; its acceptance has expired" if acceptances else ""
    yield Finding(where=where, rule=ids[0], message=f"known vulnerability, {details}{expired}")


def run_audit(
    gate: str,
    audit: Callable[[Acceptances], tuple[int, list[Finding]]],
    *,
    environ: Mapping[str, str] = os.environ,
    accepted: Path = ACCEPTED,
) -> int:
    """Run an audit, which returns how many packages it has checked and its findings; return the exit status."""
    try:
        checked, findings = audit(json.loads(accepted.read_text(encoding="utf-8")))
    except UnreachableError as error:
        if must_audit(environ):
            return fail(gate, error)
        return GateResult(gate=gate, checked=0, unit="packages", not_checked=str(error)).report()
    except GateError as error:
        return fail(gate, error)
    return GateResult(gate=gate, checked=checked, unit="packages", findings=findings).report()
