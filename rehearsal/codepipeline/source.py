"""Source actions: a snapshot of the rehearsed commit stands for the connected repository."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.codepipeline.actions import ActionError, Surroundings
from rehearsal.codepipeline.definition import Action
from rehearsal.codepipeline.roles import ActionRoles


class RevisionError(Exception):
    """The checkout has no such commit, or is not a git repository."""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit of the rehearsed repository."""

    repository: Path
    id: str
    message: str
    """All of it, as CodePipeline's variable `CommitMessage` carries it too."""

    @property
    def subject(self) -> str:
        """First line of the message."""
        return self.message.partition("\n")[0]

    @classmethod
    def resolve(cls, repository: Path, revision: str) -> "Commit":
        """The commit that `revision` names in `repository`."""
        result = subprocess.run(
            ["git", "-C", str(repository), "log", "-1", "--format=%H%n%B", revision, "--"],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            msg = f"{revision} is not a commit of {repository}: {result.stderr.strip()}"
            raise RevisionError(msg)
        commit_id, _, message = result.stdout.strip().partition("\n")
        return cls(repository=repository, id=commit_id, message=message)

    def clone_into(self, target: Path) -> None:
        """A full clone with this commit checked out, which shares nothing with the repository."""
        clone = ["git", "clone", "--quiet", "--no-local", "--no-checkout", str(self.repository), str(target)]
        for command in (clone, ["git", "-C", str(target), "checkout", "--quiet", "--detach", self.id]):
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                msg = f"`{' '.join(command)}` failed: {result.stderr.strip()}"
                raise RevisionError(msg)


@dataclass(frozen=True, kw_only=True)
class Source:
    """The source action of any provider whose artifact is a repository's content."""

    commit: Commit
    roles: ActionRoles

    def run(self, action: Action, around: Surroundings) -> Mapping[str, str]:
        """Produce the source artifact; a zip artifact has no history, a clone has all of it."""
        self.roles.fetch_source(action)
        folder = around.artifacts.create(action.outputs[0])
        folder.rmdir()
        try:
            self.commit.clone_into(folder)
        except RevisionError as error:
            raise ActionError(str(error)) from error
        if action.configuration.get("OutputArtifactFormat") != "CODEBUILD_CLONE_REF":
            shutil.rmtree(folder / ".git")
        around.progress(f"{self.commit.id[:12]} {self.commit.subject}")
        return {
            "CommitId": self.commit.id,
            "CommitMessage": self.commit.message,
            "BranchName": action.configuration.get("BranchName", "main"),
            "FullRepositoryName": action.configuration.get("FullRepositoryId", "local/rehearsal"),
        }
