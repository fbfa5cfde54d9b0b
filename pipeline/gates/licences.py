"""Only packages with allowed licences are shipped, judged by the metadata of the installed packages."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from license_expression import (  # type: ignore[import-untyped]  # ships no types
    ExpressionError,
    LicenseExpression,
    get_spdx_licensing,
)

from pipeline.gates.findings import Finding, GateError, GateResult, fail
from pipeline.gates.requirements import JOBS, SERVICE, LockedPackage, read_requirements

#: SPDX ids: permissive licences, and file-level copyleft, which does not extend to code that only uses the package.
ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Python-2.0",
     "Unlicense", "Zlib"}
)  # fmt: skip
#: Packages that are allowed in spite of their licence, with the reason.
EXCEPTIONS: Mapping[str, str] = {
    "iso4217": "public domain, for which SPDX has no id",
    "psycopg": "LGPL-3.0-only: an unmodified library that the service imports, replaceable in the image",
    "psycopg-binary": "LGPL-3.0-only: as psycopg",
    "psycopg-pool": "LGPL-3.0-only: as psycopg",
}
#: SPDX ids of what older packages write in classifiers and free text.
_SPDX_IDS: Mapping[str, str] = {
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
_SPDX = get_spdx_licensing()


def licence_of(package: Distribution) -> str:
    """Return the SPDX expression of an installed package; empty when it declares none that can be read."""
    metadata = package.metadata.json
    if expression := metadata.get("license_expression"):
        return _canonical(str(expression))
    classifiers = [text for text in metadata.get("classifier", ()) if text.startswith(_CLASSIFIER)]
    if classifiers:  # several are a choice, by convention
        return " OR ".join(_canonical(text.removeprefix(_CLASSIFIER)) for text in classifiers)
    return _canonical(str(metadata.get("license", "")))


def _canonical(text: str) -> str:
    parsed = _parse(_SPDX_IDS.get(text.strip().lower(), text))
    return "" if parsed is None else str(parsed)


def _parse(expression: str) -> LicenseExpression | None:
    try:
        return _SPDX.parse(expression, validate=True, strict=True)
    except ExpressionError:
        return None


def is_allowed(expression: str) -> bool:
    """Return whether an SPDX expression leaves a way to use the package under allowed licences only."""
    parsed = _parse(expression)
    if parsed is None:
        return False
    # Of `X WITH exception` only X counts: an exception only ever permits more.
    licences = {symbol: next(iter(symbol.decompose())).key for symbol in parsed.symbols}
    truth = {symbol: _SPDX.TRUE if licence in ALLOWED else _SPDX.FALSE for symbol, licence in licences.items()}
    return bool(parsed.subs(truth, simplify=True) == _SPDX.TRUE)


def find_violations(packages: Sequence[LockedPackage]) -> Iterator[Finding]:
    """Yield a finding for each package whose licence is unknown or not allowed."""
    for package in packages:
        where = f"{package.name} {package.version}"
        try:
            expression = licence_of(distribution(package.name))
        except PackageNotFoundError:
            yield Finding(where=where, rule="not-installed", message="`make setup` installs it.")
            continue
        if package.name in EXCEPTIONS or is_allowed(expression):
            continue
        yield Finding(
            where=where,
            rule="licence",
            message=f"{expression or 'a licence that cannot be read'} is not allowed. Use another package, or add an "
            "exception with its reason to pipeline/gates/licences.py.",
        )


def check(files: Sequence[Path] = (SERVICE, JOBS)) -> int:
    """Check the licences of what is shipped and return the exit status."""
    try:
        packages = {one.name: one for path in files for one in read_requirements(path) if one.applies}
    except GateError as error:
        return fail("licences", error)
    findings = list(find_violations([packages[name] for name in sorted(packages)]))
    return GateResult(gate="licences", checked=len(packages), unit="packages", findings=findings).report()


if __name__ == "__main__":
    sys.exit(check())
