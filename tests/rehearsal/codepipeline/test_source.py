"""The source artifact is the committed state, whatever lies in the working tree."""

import subprocess
import threading
from pathlib import Path

import pytest

from rehearsal.codepipeline.artifacts import Artifacts
from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.run_context import RunContext
from rehearsal.codepipeline.source import Commit, RevisionError, Source
from rehearsal.codepipeline.variables import Variables
from tests.rehearsal.codepipeline.authorization_stub import action_roles

MESSAGE = "First commit\n\nReplaces: database/Cluster"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "file").write_text("first")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", MESSAGE]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *command], cwd=folder, check=True)
    return folder


def produce(repository: Path, tmp_path: Path, output_format: str) -> tuple[Path, dict[str, str]]:
    artifacts = Artifacts(tmp_path / "artifacts")
    commit = Commit.resolve(repository, "HEAD")
    action = Action(
        name="Source",
        category="Source",
        provider="CodeStarSourceConnection",
        configuration={
            "BranchName": "main",
            "ConnectionArn": "arn:aws:codeconnections:us-east-1:000000000000:connection/1",
            "FullRepositoryId": "a/b",
            "OutputArtifactFormat": output_format,
        },
        outputs=("Source",),
    )
    around = RunContext(
        stage="Source",
        execution_id="e",
        artifacts=artifacts,
        variables=Variables({}),
        log=tmp_path / "log",
        progress=lambda _: None,
        cancelled=threading.Event(),
    )
    exported = Source(commit=commit, roles=action_roles()).run(action, around)
    return artifacts.folder("Source"), dict(exported)


def test_uncommitted_changes_are_not_part_of_the_source(repository: Path, tmp_path: Path) -> None:
    (repository / "file").write_text("changed")
    (repository / "new").write_text("untracked")
    folder, _ = produce(repository, tmp_path, "CODE_ZIP")
    assert {path.name for path in folder.iterdir()} == {"file"}
    assert (folder / "file").read_text() == "first"


def test_the_message_is_told_whole_and_its_first_line_is_the_subject(repository: Path, tmp_path: Path) -> None:
    assert produce(repository, tmp_path, "CODE_ZIP")[1]["CommitMessage"] == MESSAGE
    assert Commit.resolve(repository, "HEAD").subject == "First commit"


def test_only_a_full_clone_has_history(repository: Path, tmp_path: Path) -> None:
    assert not (produce(repository, tmp_path / "zip", "CODE_ZIP")[0] / ".git").exists()
    clone, exported = produce(repository, tmp_path / "clone", "CODEBUILD_CLONE_REF")
    log = subprocess.run(["git", "log", "--format=%H"], cwd=clone, capture_output=True, text=True, check=True)
    assert log.stdout.split() == [exported["CommitId"]]


def test_an_unknown_revision_is_named(repository: Path) -> None:
    with pytest.raises(RevisionError, match="nonsense is not a commit of"):
        Commit.resolve(repository, "nonsense")
