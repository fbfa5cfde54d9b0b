"""Build images come from registries without rate limits, under tags that still receive fixes."""

import re
import subprocess

import pytest

from pipeline.jobs.image_scan import images_of
from tests.pipeline.model import PROJECT, Synthesized

DOCKERFILES = sorted(
    subprocess.run(
        ["git", "ls-files", "*Dockerfile*"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split()
)
#: Docker Hub limits pulls by address, and CodeBuild's addresses are shared (aws/aws-cdk#11774).
_UNLIMITED = "public.ecr.aws/docker/library/"
#: A tag with a patch release is no longer rebuilt once there is the next one.
_REBUILT = re.compile(r"[a-z]+:\d+\.\d+-slim-[a-z]+")


def bases(dockerfile: str) -> list[str]:
    """Images that a Dockerfile starts from, except its own stages."""
    lines = re.findall(r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", dockerfile, re.MULTILINE | re.IGNORECASE)
    stages = {stage for _, stage in lines}
    return [image for image, _ in lines if image not in stages]


@pytest.mark.parametrize("path", DOCKERFILES)
def test_base_images_are_still_patched(path: str) -> None:
    found = bases((PROJECT / path).read_text())
    assert found, path
    for image in found:
        assert image.startswith(_UNLIMITED), image
        assert _REBUILT.fullmatch(image.removeprefix(_UNLIMITED)), image


def test_the_image_gate_knows_the_release_of_the_base(synthesized: Synthesized) -> None:
    """Debian's advisories are read for that release, so the assembly must name it."""
    assert {one.release for one in images_of(synthesized.folder)} == {"trixie"}


def test_builds_run_in_codebuild_images(synthesized: Synthesized) -> None:
    images = {
        project["Properties"]["Environment"]["Image"]
        for project in synthesized.stack.all("AWS::CodeBuild::Project").values()
    }
    assert all(image.startswith("aws/codebuild/") for image in images), images
