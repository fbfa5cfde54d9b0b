"""Software bill of materials of the image: `python -m pipeline.gates.sbom` writes CycloneDX 1.6 to `.run/reports`.

Made from the hashed requirements that the image is built from, so that it says exactly what may be in it, and validated
against the standard's schema.
"""

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from pipeline.gates.findings import REPORTS, Finding, GateError, Outcome, fail
from pipeline.gates.licences import licence_of
from pipeline.gates.requirements import SERVICE, Requirement, read_requirements

DOCKERFILE = Path("service/Dockerfile")
_BASE = re.compile(
    r"^FROM\s+(?:--\S+\s+)*(?P<image>[^\s:@]+)(?::(?P<tag>[^\s@]+))?(?:@sha256:(?P<digest>\w{64}))?",
    re.MULTILINE | re.IGNORECASE,
)


def bill_of_materials(requirements: list[Requirement], dockerfile: str) -> Bom:
    """The image's base and packages as a CycloneDX document."""
    image = Component(name="payments", type=ComponentType.CONTAINER, bom_ref="payments")
    bom = Bom()
    bom.metadata.component = image
    components = [_package(one) for one in requirements]
    components += [_base(match) for match in _BASE.finditer(dockerfile) if match["tag"] or match["digest"]]
    for component in components:
        bom.components.add(component)
    bom.register_dependency(image, components)
    return bom


def _package(one: Requirement) -> Component:
    try:
        licence = licence_of(distribution(one.name))
    except PackageNotFoundError:  # does not apply on this platform
        licence = ""
    url = PackageURL(type="pypi", name=one.name.lower(), version=one.version)
    return Component(
        name=one.name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=url.to_string(),
        purl=url,
        licenses=[LicenseExpression(licence)] if licence else (),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in one.hashes],
    )


def _base(match: re.Match[str]) -> Component:
    name = match["image"].rpartition("/")[2]
    version = match["tag"] or f"sha256:{match['digest']}"
    url = PackageURL(type="docker", name=name, version=version)
    return Component(
        name=match["image"], version=version, type=ComponentType.CONTAINER, bom_ref=url.to_string(), purl=url
    )


def _read(dockerfile: Path) -> str:
    if not dockerfile.is_file():
        raise GateError(f"{dockerfile} is missing, so the image's base is unknown.")
    return dockerfile.read_text(encoding="utf-8")


def check(requirements: Path = SERVICE, dockerfile: Path = DOCKERFILE, *, reports: Path = REPORTS) -> int:
    """Write the document and answer the exit status."""
    try:
        bom = bill_of_materials(read_requirements(requirements), _read(dockerfile))
    except GateError as error:
        return fail("sbom", error, reports)
    reports.mkdir(parents=True, exist_ok=True)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    (reports / "sbom.cdx.json").write_text(text, encoding="utf-8")
    kinds = [component["type"] for component in json.loads(text).get("components", ())]
    findings = []
    if "container" not in kinds:
        message = "no base image with a tag or digest was found in its FROM lines"
        findings.append(Finding(where=str(dockerfile), rule="no-base", message=message))
    return Outcome(gate="sbom", checked=kinds.count("library"), unit="packages", findings=findings).conclude(reports)


if __name__ == "__main__":
    sys.exit(check())
