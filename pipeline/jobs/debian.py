"""What Debian says of a vulnerability: whether a package of a release has it, and whether it matters there.

ECR's basic scanning compares upstream version numbers. Debian mends the version that it has, so a mended package is
still found; and what its security team takes for minor gets no update of its own. The security tracker knows both.
Source of its format: https://security-tracker.debian.org/tracker/data/json
and https://security-team.debian.org/security_tracker.html.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

TRACKER = "https://security-tracker.debian.org/tracker/data/json"
_PATIENCE = (10, 120)  # seconds to connect, and for each part of some 80 MB

Packages = Mapping[str, Mapping[str, Any]]
"""Source package to its vulnerabilities by name, as the tracker has them."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What Debian says, and whether an image may pass for it."""

    excuses: bool
    text: str


def read_tracker() -> Packages:
    """Everything that the tracker knows.

    Raises:
        requests.RequestException: it did not answer, or not with JSON.
    """
    answer = requests.get(TRACKER, timeout=_PATIENCE)
    answer.raise_for_status()
    packages: Packages = answer.json()
    return packages


class Debian:
    """Debian's word on one release; the tracker is asked when somebody wants to know, and once."""

    def __init__(self, read: Callable[[], Packages] = read_tracker) -> None:
        self._read = read
        self._packages: Packages | None = None
        self.unreachable = ""

    def says(self, name: str, *, release: str, package: str, version: str) -> Statement | None:
        """What is said of the vulnerability `name` in an installed package; None where nothing is said.

        A scanner may name the binary package. Then every source package of the release that has the vulnerability must
        be excused, so that none is mistaken for another.
        """
        issues = {
            source: known[name]["releases"][release]
            for source, known in self._tracker().items()
            if release in known.get(name, {}).get("releases", {})
        }
        if package in issues:
            issues = {package: issues[package]}
        statements = [_statement(source, issue, version) for source, issue in sorted(issues.items())]
        return next((one for one in statements if not one.excuses), statements[0] if statements else None)

    def _tracker(self) -> Packages:
        if self._packages is None:
            try:
                self._packages = self._read()
            except requests.RequestException as error:
                self._packages, self.unreachable = {}, f"{TRACKER} could not be read: {error}"
        return self._packages


def _statement(source: str, issue: Mapping[str, Any], version: str) -> Statement:
    fixed, reason = issue.get("fixed_version", ""), issue.get("nodsa_reason") or ""
    if issue["status"] == "resolved" and fixed == "0":
        return Statement(excuses=True, text=f"Debian: {source} of this release never had it")
    if issue["status"] == "resolved" and fixed:
        if not is_older(version, fixed):
            return Statement(excuses=True, text=f"Debian: {source} {fixed} has the fix")
        return Statement(excuses=False, text=f"Debian has fixed {source} in {fixed}, and the image is older")
    if issue.get("urgency") == "unimportant":
        return Statement(excuses=True, text=f"Debian: unimportant in {source}")
    if issue["status"] == "open" and issue.get("nodsa") and reason in ("", "postponed"):
        return Statement(excuses=True, text=f"Debian: no update of its own for {source}: {issue['nodsa']}")
    return Statement(excuses=False, text=f"Debian: {issue['status']} in {source}, and nobody calls it minor")


def is_older(version: str, other: str) -> bool:
    """Whether a Debian version comes before another.

    Source: https://www.debian.org/doc/debian-policy/ch-controlfields.html#version.
    """
    return _key(version) < _key(other)


def _key(version: str) -> tuple[int, object, object]:
    head, colon, tail = version.partition(":")
    epoch, rest = (int(head), tail) if colon else (0, version)
    upstream, hyphen, revision = rest.rpartition("-")
    return epoch, _part(upstream if hyphen else rest), _part(revision if hyphen else "")


def _part(text: str) -> list[tuple[list[int], int]]:
    """Text and numbers in turn; a tilde comes before the end, letters before everything else."""
    pairs = [
        ([*(_rank(character) for character in words), 0], int(digits or 0))
        for words, digits in re.findall(r"(\D*)(\d*)", text)
    ]
    while pairs and pairs[-1] == ([0], 0):
        pairs.pop()
    return [*pairs, ([0], 0)]


def _rank(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
