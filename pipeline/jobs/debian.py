"""Debian's assessment of a vulnerability: whether a package of a release has it, and whether it is serious there.

ECR's basic scanning compares upstream version numbers. Debian backports fixes to the version of a release, so that a
fixed package is still reported; and vulnerabilities that its security team considers minor get no update of their own.
The security tracker knows both.
Format: https://security-tracker.debian.org/tracker/data/json
and https://security-team.debian.org/security_tracker.html.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import requests

TRACKER = "https://security-tracker.debian.org/tracker/data/json"
#: Seconds to connect, and for each read; the document has some 80 MB.
_TIMEOUT_SECONDS = (10, 120)

#: The tracker's document: source package to its vulnerabilities, by id.
TrackedPackages = Mapping[str, Mapping[str, Any]]  # Any: JSON of the tracker


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """Debian's assessment of a vulnerability in a package."""

    #: Whether an image may be deployed with it.
    acceptable: bool
    reason: str


def read_tracker() -> TrackedPackages:
    """Download the tracker's document.

    Raises:
        requests.RequestException: it cannot be read.
    """
    response = requests.get(TRACKER, timeout=_TIMEOUT_SECONDS)
    response.raise_for_status()
    packages: TrackedPackages = response.json()
    return packages


class SecurityTracker:
    """Debian's security tracker, downloaded when first needed."""

    def __init__(self, read: Callable[[], TrackedPackages] = read_tracker) -> None:
        self._read = read
        self._packages: TrackedPackages | None = None
        #: Why the tracker could not be read; empty if it could be.
        self.unreachable = ""

    def assess(self, vulnerability: str, *, release: str, package: str, version: str) -> Assessment | None:
        """Return Debian's assessment of a vulnerability in an installed package; None if there is none.

        A scanner may name a binary package, where the tracker knows source packages. The vulnerability must then be
        acceptable in every source package of the release that has it.
        """
        issues = {
            source: known[vulnerability]["releases"][release]
            for source, known in self._tracked().items()
            if release in known.get(vulnerability, {}).get("releases", {})
        }
        if package in issues:
            issues = {package: issues[package]}
        assessments = [_assess(source, issue, version) for source, issue in sorted(issues.items())]
        return next((one for one in assessments if not one.acceptable), assessments[0] if assessments else None)

    def _tracked(self) -> TrackedPackages:
        if self._packages is None:
            try:
                self._packages = self._read()
            except requests.RequestException as error:
                self._packages, self.unreachable = {}, f"{TRACKER} cannot be read: {error}"
        return self._packages


def _assess(source: str, issue: Mapping[str, Any], version: str) -> Assessment:
    fixed, no_dsa_reason = issue.get("fixed_version", ""), issue.get("nodsa_reason") or ""
    if issue["status"] == "resolved" and fixed == "0":
        return Assessment(acceptable=True, reason=f"Debian: {source} in this release was never affected")
    if issue["status"] == "resolved" and fixed:
        if not is_older(version, fixed):
            return Assessment(acceptable=True, reason=f"Debian: fixed in {source} {fixed}")
        return Assessment(acceptable=False, reason=f"Debian: fixed in {source} {fixed}, and the image is older")
    if issue.get("urgency") == "unimportant":
        return Assessment(acceptable=True, reason=f"Debian: unimportant in {source}")
    if issue["status"] == "open" and issue.get("nodsa") and no_dsa_reason in ("", "postponed"):
        return Assessment(acceptable=True, reason=f"Debian: no security update for {source}: {issue['nodsa']}")
    return Assessment(acceptable=False, reason=f"Debian: {issue['status']} in {source}, and not classified as minor")


def is_older(version: str, other: str) -> bool:
    """Return whether a Debian version is older than another.

    Algorithm: https://www.debian.org/doc/debian-policy/ch-controlfields.html#version.
    """
    parts = zip(_parts(version), _parts(other), strict=True)
    pairs = (pair for part, counterpart in parts for pair in zip_longest(part, counterpart, fillvalue=_END))
    one, another = next((pair for pair in pairs if pair[0] != pair[1]), (_END, _END))
    return one < another


#: Characters that are not digits, each as its rank, then the rank of their end; and the number that follows them.
_Stretch = tuple[list[int], int]
#: Stands for what the shorter of two versions lacks: a tilde of the longer one sorts before it, all else after it.
_END: _Stretch = ([0], 0)


def _parts(version: str) -> tuple[list[_Stretch], list[_Stretch], list[_Stretch]]:
    head, colon, tail = version.partition(":")
    epoch, rest = (head, tail) if colon else ("", version)
    upstream, hyphen, revision = rest.rpartition("-")
    return _stretches(epoch), _stretches(upstream if hyphen else rest), _stretches(revision if hyphen else "")


def _stretches(text: str) -> list[_Stretch]:
    return [
        ([*(_rank(character) for character in words), 0], int(digits or 0))
        for words, digits in re.findall(r"(\D*)(\d*)", text)
    ]


def _rank(character: str) -> int:
    """Return what to sort by: a tilde before the end, which is 0, and letters before all others."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
