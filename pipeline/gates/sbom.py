"""Software bill of materials of the image, as CycloneDX 1.6 in `.run/reports/sbom.cdx.json`.

Built from the hashed requirements that the image installs, so that it lists exactly what can be in the image, and
validated against the standard's schema.
"""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from dockerfile_parse import DockerfileParser
from packageurl import PackageURL

from pipeline.gates.findings import REPORTS, Finding, GateError, GateResult, fail
from pipeline.gates.licences import licence_of
from pipeline.gates.requirements import SERVICE, LockedPackage, read_requirements

DOCKERFILE = Path("service/Dockerfile")


def _package(package: LockedPackage) -> Component:
    try:
        licence = licence_of(distribution(package.name))
    except PackageNotFoundError:  # not for this platform
        licence = ""
    url = PackageURL(type="pypi", name=package.name.lower(), version=package.version)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=url.to_string(),
        purl=url,
        licenses=[LicenseExpression(licence)] if licence else (),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in package.hashes],
    )


def _base_images(dockerfile: Path) -> list[Component]:
    """Return the images in FROM lines that name a tag or a digest; a line without one names an earlier stage."""
    if not dockerfile.is_file():
        raise GateError(f"{dockerfile} is missing, so the base image is unknown.")
    images = set(DockerfileParser(str(dockerfile)).parent_images)
    return [_base_image(image) for image in sorted(images) if ":" in image.rpartition("/")[2]]


def _base_image(image: str) -> Component:
    tagged, _, digest = image.partition("@")
    repository, _, name = tagged.rpartition("/")
    name, _, tag = name.partition(":")
    url = PackageURL(type="docker", name=name, version=tag or digest)
    return Component(
        name=f"{repository}/{name}" if repository else name,
        version=tag or digest,
        type=ComponentType.CONTAINER,
        bom_ref=url.to_string(),
        purl=url,
    )


def _document(components: list[Component]) -> str:
    """Return the bill of materials as JSON.

    Raises:
        GateError: it does not conform to the schema.
    """
    image = Component(name="payments", type=ComponentType.CONTAINER, bom_ref="payments")
    bom = Bom(components=components)
    bom.metadata.component = image
    bom.register_dependency(image, components)
    document = JsonV1Dot6(bom).output_as_string(indent=2)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(document):
        raise GateError(f"the bill of materials does not conform to the schema: {error}")
    return document


def check(requirements: Path = SERVICE, dockerfile: Path = DOCKERFILE, *, reports: Path = REPORTS) -> int:
    """Write the bill of materials and return the exit status."""
    try:
        packages, bases = read_requirements(requirements), _base_images(dockerfile)
        document = _document([*map(_package, packages), *bases])
    except GateError as error:
        return fail("sbom", error, reports)
    reports.mkdir(parents=True, exist_ok=True)
    (reports / "sbom.cdx.json").write_text(document, encoding="utf-8")
    message = "no FROM line names an image with a tag or digest"
    findings = [] if bases else [Finding(where=str(dockerfile), rule="no-base", message=message)]
    return GateResult(gate="sbom", checked=len(packages), unit="packages", findings=findings).report(reports)


if __name__ == "__main__":
    sys.exit(check())
