"""Source actions: a clone of the rehearsed commit stands in for the connected repository."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.roles import ActionRoles
from rehearsal.codepipeline.run_context import ActionError, RunContext


class RevisionError(Exception):
    """The revision is not a commit of the repository, or the folder is not a Git repository."""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit of the rehearsed repository."""

    repository: Path
    id: str
    #: The whole message, as in CodePipeline's variable `CommitMessage`.
    message: str

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]

    @classmethod
    def resolve(cls, repository: Path, revision: str) -> "Commit":
        """Return the commit that a revision names.

        Raises:
            RevisionError: There is no such commit.

        """
        result = subprocess.run(
            ["git", "-C", str(repository), "log", "-1", "--format=%H%n%B", revision, "--"],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise RevisionError(f"{revision} is not a commit of {repository}: {result.stderr.strip()}")
        commit_id, _, message = result.stdout.strip().partition("\n")
        return cls(repository=repository, id=commit_id, message=message)

    def clone_into(self, target: Path) -> None:
        """Make a full clone with this commit checked out, which shares no files with the repository."""
        clone = ["git", "clone", "--quiet", "--no-local", "--no-checkout", str(self.repository), str(target)]
        for command in (clone, ["git", "-C", str(target), "checkout", "--quiet", "--detach", self.id]):
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                raise RevisionError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")


@dataclass(frozen=True, kw_only=True)
class SourceExecutor:
    """Executes source actions, whatever their provider."""

    commit: Commit
    roles: ActionRoles

    def execute(self, action: Action, context: RunContext) -> Mapping[str, str]:
        """Produce the source artifact: a full clone with history, or only the files."""
        self.roles.fetch_source(action)
        folder = context.artifacts.create(action.outputs[0])
        folder.rmdir()
        try:
            self.commit.clone_into(folder)
        except RevisionError as error:
            raise ActionError(str(error)) from error
        if action.configuration.get("OutputArtifactFormat") != "CODEBUILD_CLONE_REF":
            shutil.rmtree(folder / ".git")
        context.progress(f"{self.commit.id[:12]} {self.commit.subject}")
        return {
            "CommitId": self.commit.id,
            "CommitMessage": self.commit.message,
            "BranchName": action.configuration.get("BranchName", "main"),
            "FullRepositoryName": action.configuration.get("FullRepositoryId", "local/rehearsal"),
        }
