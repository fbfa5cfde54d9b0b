"""Only licences that the product may be shipped with, read from the installed packages' own metadata."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from pipeline.gates.findings import Finding, GateError, Outcome, fail
from pipeline.gates.requirements import JOBS, SERVICE, Requirement, read_requirements

#: SPDX ids: permissive, and file-level copyleft, which does not reach what merely uses it.
ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Python-2.0",
     "Unlicense", "Zlib"}
)  # fmt: skip
#: Packages that are admitted for another licence, with the reason.
EXCEPTIONS: Mapping[str, str] = {
    "iso4217": "public domain, for which SPDX has no id",
    "psycopg": "LGPL-3.0-only: an unmodified library that the service imports, replaceable in the image",
    "psycopg-binary": "LGPL-3.0-only: as psycopg",
    "psycopg-pool": "LGPL-3.0-only: as psycopg",
}
#: What classifiers and free texts of older packages mean.
_NAMES: Mapping[str, str] = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
_CLASSIFIER = "License :: OSI Approved :: "
_TOKEN = re.compile(r"\(|\)|[^\s()]+")


def licence_of(package: Distribution) -> str:
    """The SPDX expression of an installed package; empty when it does not say."""
    metadata = package.metadata.json
    expression = metadata.get("license_expression")
    if expression:
        return _canonical(str(expression))
    classifiers = [
        text.removeprefix(_CLASSIFIER) for text in metadata.get("classifier", ()) if text.startswith(_CLASSIFIER)
    ]
    named = [_canonical(text) for text in classifiers]
    if named:
        return " OR ".join(named)  # several classifiers are a choice, by convention
    return _canonical(str(metadata.get("license", "")))


def _canonical(text: str) -> str:
    text = _NAMES.get(text.strip().lower(), text.strip())
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return ""


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression leaves a way to use the package under allowed licences only."""
    tokens = _TOKEN.findall(expression)
    result = _either(tokens)
    return result and not tokens


def _either(tokens: list[str]) -> bool:
    result = _both(tokens)
    while tokens[:1] == ["OR"]:
        tokens.pop(0)
        result = _both(tokens) or result
    return result


def _both(tokens: list[str]) -> bool:
    result = _one(tokens)
    while tokens[:1] == ["AND"]:
        tokens.pop(0)
        result = _one(tokens) and result
    return result


def _one(tokens: list[str]) -> bool:
    if not tokens:
        return False
    if tokens[0] == "(":
        tokens.pop(0)
        result = _either(tokens)
        tokens[:1] = []
        return result
    name = tokens.pop(0)
    if tokens[:1] == ["WITH"]:  # an exception only ever permits more
        del tokens[:2]
    return name in ALLOWED


def examine(requirements: Sequence[Requirement]) -> Iterator[Finding]:
    """Every package whose licence is unknown or not allowed."""
    for one in requirements:
        where = f"{one.name} {one.version}"
        try:
            expression = licence_of(distribution(one.name))
        except PackageNotFoundError:
            yield Finding(where=where, rule="not-installed", message="`make setup` installs what is to be examined.")
            continue
        if one.name in EXCEPTIONS or is_allowed(expression):
            continue
        yield Finding(
            where=where,
            rule="licence",
            message=f"{expression or 'no licence that can be read'} is not allowed. Use another package, or admit "
            "it in pipeline/gates/licences.py with a reason.",
        )


def check(files: Sequence[Path] = (SERVICE, JOBS)) -> int:
    """Examine what is shipped and answer the exit status."""
    try:
        pins = {one.name: one for path in files for one in read_requirements(path) if one.applies}
    except GateError as error:
        return fail("licences", error)
    findings = list(examine([pins[name] for name in sorted(pins)]))
    return Outcome(gate="licences", checked=len(pins), unit="packages", findings=findings).conclude()


if __name__ == "__main__":
    sys.exit(check())
