"""No secret in any commit: scans the whole history, because a secret that was removed is still published.

Looks for the formats of secrets, and for random-looking values that are assigned to telling names. A value that only
looks like a secret (a published test value) is listed in `allowed_secrets.json` by fingerprint, with the reason. Why
the rules are our own: docs/decisions/0212-secret-rules.md.
"""

import hashlib
import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.gates.findings import Finding, GateError, GateResult, fail

ALLOWED = Path(__file__).parent / "allowed_secrets.json"
_COMMIT = "commit\x01"
_MESSAGE = "(message)"
#: Bits per character from which a value counts as random: English text is below, 20 random hexadecimal digits above.
_RANDOM_BITS = 3.6

RULES: Mapping[str, re.Pattern[str]] = {
    "private-key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s*[\\\w/+=]*"),
    "aws-access-key": re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    "aws-secret-key": re.compile(r"(?i)\baws.{0,20}?secret.{0,20}?[\"'=:\s]([a-z0-9/+]{40})\b"),
    "live-api-key": re.compile(r"\b[rs]k_live_[0-9A-Za-z_]{24,}"),
    "webhook-secret": re.compile(r"\bwhsec_[A-Za-z0-9+/]{32,}={0,2}"),
    "github-token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})[A-Za-z0-9_]*"),
    "slack-token": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{16,}"),
    "google-api-key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "npm-token": re.compile(r"\bnpm_[A-Za-z0-9]{36}\b"),
    "pypi-token": re.compile(r"\bpypi-[A-Za-z0-9_-]{60,}"),
    "json-web-token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "password-in-url": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"{}$<]+:([^\s/:@'\"{}$<]{6,})@"),
}
_ASSIGNED = re.compile(
    r"(?i)\b\w*(?:password|passwd|secret|token|api_?key)\b[\"']?\s*[:=]\s*[\"']([\w+/=.~-]{16,})[\"']"
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line that a commit has added, or a line of its message."""

    commit: str
    path: str
    text: str


def history(repository: Path) -> Iterator[Line]:
    """Yield every line that any commit of any branch has added, and every line of every message.

    Raises:
        GateError: the folder holds no history, or only part of one.
    """
    top = _git(repository, "rev-parse", "--show-toplevel").strip()
    if Path(top).resolve() != repository.resolve():
        raise GateError(f"{repository.resolve()} has no history; the repository around it is {top}. Clone in full.")
    if _git(repository, "rev-parse", "--is-shallow-repository").strip() != "false":
        raise GateError("the clone is shallow, so most of the history is missing. Clone in full.")
    with subprocess.Popen(
        ["git", "-C", str(repository), "log", "--all", "--patch", "-m", "--unified=0", "--no-color", "--no-ext-diff",
         "--no-renames", "--diff-filter=AM", f"--format={_COMMIT}%H%n%B"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:  # fmt: skip
        if process.stdout is not None:  # always so with PIPE
            yield from _lines(process.stdout)
    if process.returncode:
        raise GateError(f"git log ended with exit status {process.returncode}.")


def _lines(output: Iterable[str]) -> Iterator[Line]:
    commit, path = "", _MESSAGE
    for line in output:
        text = line.rstrip("\n")
        if text.startswith(_COMMIT):
            commit, path = text.removeprefix(_COMMIT), _MESSAGE
        elif text.startswith("+++ "):
            path = text[4:].removeprefix("b/")
        elif text.startswith("+") and path != _MESSAGE:
            yield Line(commit=commit, path=path, text=text[1:])
        elif path == _MESSAGE:
            yield Line(commit=commit, path=path, text=text)


@cache  # four of five lines of a history occur more than once
def secrets_in(text: str) -> tuple[tuple[str, str], ...]:
    """Return rule and value of every secret in a line."""
    return tuple(_secrets_in(text))


def _secrets_in(text: str) -> Iterator[tuple[str, str]]:
    for rule, pattern in RULES.items():
        for match in pattern.finditer(text):
            yield rule, match[match.lastindex or 0]
    for match in _ASSIGNED.finditer(text):
        value = match[1]
        if _bits(value) > _RANDOM_BITS and re.search(r"\d", value) and re.search(r"[a-zA-Z]", value):
            yield "assigned-secret", value


def fingerprint(value: str) -> str:
    """Return what a value is allowed by, which does not reveal it."""
    return hashlib.sha256(value.encode()).hexdigest()[:16]


def _bits(text: str) -> float:
    """Return the Shannon entropy of a text, in bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def scan(lines: Iterable[Line], allowed: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding for each secret that is not allowed, once for each file."""
    seen: set[tuple[str, str]] = set()
    for line in lines:
        for rule, value in secrets_in(line.text):
            mark = fingerprint(value)
            if mark in allowed or (mark, line.path) in seen:
                continue
            seen.add((mark, line.path))
            yield Finding(
                where=f"{line.commit[:12]} {line.path}",
                rule=rule,
                message=f"{value[:4]}... ({len(value)} characters) looks like a secret. Revoke it where it was issued. "
                f"If it is none, add its fingerprint {mark} to pipeline/gates/allowed_secrets.json with the reason.",
            )


def check(repository: Path, allowed: Path = ALLOWED) -> int:
    """Scan the history of a repository and return the exit status."""
    try:
        lines = list(history(repository))
    except GateError as error:
        return fail("secrets", error)
    findings = list(scan(lines, json.loads(allowed.read_text(encoding="utf-8"))))
    commits = len({line.commit for line in lines})
    return GateResult(gate="secrets", checked=commits, unit="commits", findings=findings).report()


def _git(repository: Path, *arguments: str) -> str:
    finished = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=False)
    if finished.returncode:
        raise GateError(f"`git {arguments[0]}` failed: {finished.stderr.strip()}. The gate needs a full clone.")
    return finished.stdout


if __name__ == "__main__":
    sys.exit(check(Path()))
