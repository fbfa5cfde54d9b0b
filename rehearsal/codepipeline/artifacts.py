"""Artifacts of one execution: folders under the workspace where CodePipeline has zip files in a bucket."""

import shutil
from pathlib import Path


class ArtifactError(Exception):
    """An action asks for an artifact or a file that no earlier action has produced."""


class Artifacts:
    """The artifact store of one execution."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def create(self, name: str) -> Path:
        """An empty folder for the output artifact `name`; an earlier one of that name is replaced."""
        folder = self._root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def folder(self, name: str) -> Path:
        """The folder of an artifact that an earlier action produced."""
        folder = self._root / name
        if not folder.is_dir():
            there = sorted(path.name for path in self._root.iterdir())
            msg = f"artifact {name} was not produced by any earlier action; there are: {there}"
            raise ArtifactError(msg)
        return folder

    def file(self, reference: str) -> Path:
        """The file that `Artifact::path/in/it` names."""
        name, _, inner = reference.partition("::")
        path = self.folder(name) / inner
        if not inner or not path.is_file():
            msg = f"{reference}: there is no such file in artifact {name}"
            raise ArtifactError(msg)
        return path

    def copy_to(self, name: str, target: Path) -> None:
        """A clean, writable copy of an artifact, links kept as links."""
        shutil.copytree(self.folder(name), target, symlinks=True)
