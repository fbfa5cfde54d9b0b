"""Artifacts of one execution: folders of the workspace, where CodePipeline has zip files in a bucket."""

import shutil
from pathlib import Path


class ArtifactError(Exception):
    """An action needs an artifact, or a file of one, that no earlier action produced."""


class Artifacts:
    """The artifact store of one execution."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def create(self, name: str) -> Path:
        """Return an empty folder for an output artifact; an artifact of the same name is replaced."""
        folder = self._root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def folder(self, name: str) -> Path:
        """Return the folder of an artifact that an earlier action produced."""
        folder = self._root / name
        if not folder.is_dir():
            known = sorted(path.name for path in self._root.iterdir())
            raise ArtifactError(f"no earlier action produced the artifact {name}; known artifacts: {known}")
        return folder

    def file(self, reference: str) -> Path:
        """Return the file that a reference `Artifact::path/to/file` names."""
        name, _, inner = reference.partition("::")
        path = self.folder(name) / inner
        if not inner or not path.is_file():
            raise ArtifactError(f"{reference}: artifact {name} has no such file")
        return path

    def copy_to(self, name: str, target: Path) -> None:
        """Make a writable copy of an artifact; symbolic links stay links."""
        shutil.copytree(self.folder(name), target, symlinks=True)
