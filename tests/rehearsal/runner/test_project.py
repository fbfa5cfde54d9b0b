"""The description of the rehearsed app."""

from pathlib import Path

import pytest

from rehearsal.runner.project import Project, ProjectError


def write(folder: Path, text: str) -> Path:
    (folder / "rehearsal.toml").write_text(text)
    return folder


def test_two_settings_are_enough(tmp_path: Path) -> None:
    project = Project.read(write(tmp_path, 'stacks = ["Pipeline"]\ndestroy = ["make", "destroy"]\n'))
    assert (project.stacks, project.destroy) == (("Pipeline",), ("make", "destroy"))
    assert (project.context, project.execution_policies, project.example) == ({}, "", ())


def test_the_context_may_refer_to_what_the_rehearsal_creates(tmp_path: Path) -> None:
    text = 'stacks = ["Pipeline"]\ndestroy = ["true"]\n[context]\ntls = "$certificate_arn"\nsuffix = "dev"\n'
    arguments = Project.read(write(tmp_path, text)).context_arguments(certificate_arn="arn:certificate")
    assert arguments == ["--context", "tls=arn:certificate", "--context", "suffix=dev"]


@pytest.mark.parametrize(
    "text",
    ["", "stacks = ", 'stacks = ["Pipeline"]\ndestroy = ["true"]\nstack = "Pipeline"\n'],
    ids=["settings missing", "no TOML", "unknown setting"],
)
def test_an_invalid_file_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"rehearsal\.toml is invalid"):
        Project.read(write(tmp_path, text))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"rehearsal\.toml is missing"):
        Project.read(tmp_path)
