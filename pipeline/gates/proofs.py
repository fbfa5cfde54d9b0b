"""What a gate has proven stays proven: a gate that has passed on a source does not run again on this very source.

A record per gate, in the cache that builds share, says what the gate has passed on, and holds its reports, which are
put back. Gates that take a moment have none, nor those that ask somebody else, whose answer changes
(docs/decisions/0213-what-is-proven-stays-proven.md). `make gates` calls this program:

    python -m pipeline.gates.proofs source            prints the digest of all that gates depend on, for PROVING
    python -m pipeline.gates.proofs unproven GATE...  puts back the reports of proven gates, and prints the other gates
    python -m pipeline.gates.proofs record GATE       keeps that the gate has passed
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

#: Inside the cache of the synth step, and of every rehearsal in the same checkout.
PROOFS = Path(".run/cache/proofs")
REPORTS = Path(".run/reports")
#: The gates that are worth a record, with their reports.
PROVABLE: Mapping[str, Sequence[str]] = {
    "types": ("mypy.xml",),
    "templates": ("cfn-lint.xml",),
    "scanners": ("scanners.xml",),
    "sast": ("sast.xml",),
    "unit-tests": ("unit-tests.xml", "coverage.xml"),
}
#: The gates that check what is synthesized with the configuration in CONTEXT_OVERRIDES; no other reads it.
_CONFIGURED = {"templates", "scanners"}
#: Variables that say how long tests attack, and with which seed. Not CI, where Hypothesis takes the same examples each
#: time: as many random ones prove as much, so what `make test` proves at a desk counts in a rehearsal.
_VARIABLES = ("MINUTES", "SEED", "STORIES")


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A gate has passed."""

    #: Digest of what it has passed on.
    source: str
    #: When, in UTC.
    at: str
    #: The text of its reports, by file name.
    reports: Mapping[str, str]


def digest_source(folder: Path, environ: Mapping[str, str]) -> str:
    """Return a digest of all that gates depend on: every file that git does not ignore, Python, platform, variables.

    Installed packages need no digest of their own: the requirements with their hashes are among the files.
    It is empty where git knows no file: then nothing is proven.
    """
    listing = subprocess.run(
        ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, encoding="utf-8", errors="surrogateescape", check=False,
    )  # fmt: skip
    names = sorted(set(listing.stdout.split("\0")) - {""})
    if not names:
        return ""
    variables = {name: environ.get(name) for name in _VARIABLES}
    parts = [sys.version, platform.platform(), variables, [_describe(name, folder / name) for name in names]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _describe(name: str, file: Path) -> list[str]:
    """Return name, kind and content of a file; one that was deleted is still in git's index."""
    if file.is_symlink():
        return [name, "link", str(file.readlink())]
    if not file.is_file():
        return [name, "absent"]
    kind = "program" if os.access(file, os.X_OK) else "file"
    return [name, kind, hashlib.sha256(file.read_bytes()).hexdigest()]


def _depends_on(gate: str, source: str, environ: Mapping[str, str]) -> str:
    """Return what a gate has passed on: the source and, for some, the configuration."""
    if gate not in _CONFIGURED:
        return source
    configuration = environ.get("CONTEXT_OVERRIDES", "")
    return hashlib.sha256(f"{source} {configuration}".encode()).hexdigest()


def unproven(gates: Sequence[str], source: str, folder: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the gates that must run; put back the reports of the others, and say since when they are proven."""
    for gate in gates:
        expected = _depends_on(gate, source, environ)
        proof = _read(folder / PROOFS / f"{gate}.json") if gate in PROVABLE else None
        if not (source and proof and proof.source == expected and proof.reports.keys() == set(PROVABLE[gate])):
            yield gate
            continue
        for name, text in proof.reports.items():
            _write(folder / REPORTS / name, text)
        sys.stderr.write(f"{gate}: passed at {proof.at} on this very source; `PROVE=again` runs it again\n")


def record(gate: str, source: str, folder: Path, environ: Mapping[str, str]) -> None:
    """Keep that a gate has passed, unless a file has changed since `source` was digested.

    Raises:
        OSError: the gate has left no report.
    """
    if not source or source != digest_source(folder, environ):
        return
    reports = {name: (folder / REPORTS / name).read_text(encoding="utf-8") for name in PROVABLE[gate]}
    proof = Proof(
        source=_depends_on(gate, source, environ), at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", reports=reports
    )
    _write(folder / PROOFS / f"{gate}.json", json.dumps(asdict(proof)))


def _read(file: Path) -> Proof | None:
    """Return a record, or nothing if there is none or nobody can read it."""
    try:
        proof = Proof(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return proof if isinstance(proof.reports, dict) else None


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all: builds share the records, and each may be ended at any moment."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(file)


def main(arguments: Sequence[str], folder: Path = Path(), environ: Mapping[str, str] = os.environ) -> int:
    """Run a command of this program and return the exit status."""
    match arguments:
        case ["source"]:
            print(digest_source(folder, environ))  # noqa: T201 - for the Makefile
        case ["unproven", *gates]:
            print(*unproven(gates, environ["PROVING"], folder, environ))  # noqa: T201 - for the Makefile
        case ["record", gate]:
            record(gate, environ["PROVING"], folder, environ)
        case _:
            sys.stderr.write("Usage: python -m pipeline.gates.proofs source | unproven GATE... | record GATE\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
