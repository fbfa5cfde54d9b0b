"""The source artifact is a commit, whatever the working tree has."""

import subprocess
from pathlib import Path

import pytest

from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.source import Commit, RevisionError, SourceExecutor
from tests.rehearsal.codepipeline.authorization_stub import action_roles
from tests.rehearsal.codepipeline.run_contexts import run_context

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
    context = run_context(tmp_path)
    exported = SourceExecutor(commit=commit, roles=action_roles()).execute(action, context)
    return context.artifacts.folder("Source"), dict(exported)


def test_uncommitted_changes_are_not_part_of_the_source(repository: Path, tmp_path: Path) -> None:
    (repository / "file").write_text("changed")
    (repository / "new").write_text("untracked")
    folder, _ = produce(repository, tmp_path, "CODE_ZIP")
    assert {path.name for path in folder.iterdir()} == {"file"}
    assert (folder / "file").read_text() == "first"


def test_the_whole_message_is_exported(repository: Path, tmp_path: Path) -> None:
    assert produce(repository, tmp_path, "CODE_ZIP")[1]["CommitMessage"] == MESSAGE
    assert Commit.resolve(repository, "HEAD").subject == "First commit"


def test_only_a_full_clone_has_history(repository: Path, tmp_path: Path) -> None:
    assert not (produce(repository, tmp_path / "zip", "CODE_ZIP")[0] / ".git").exists()
    clone, exported = produce(repository, tmp_path / "clone", "CODEBUILD_CLONE_REF")
    log = subprocess.run(["git", "log", "--format=%H"], cwd=clone, capture_output=True, text=True, check=True)
    assert log.stdout.split() == [exported["CommitId"]]


def test_an_unknown_revision_is_refused(repository: Path) -> None:
    with pytest.raises(RevisionError, match="nonsense is not a commit of"):
        Commit.resolve(repository, "nonsense")
