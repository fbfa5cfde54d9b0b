"""Resources that the emulator has no API for, kept as files that a rehearsal reads."""

import json
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Records:
    """Resolved properties by resource type and physical id.

    `AWS::CodePipeline::Pipeline` named `pipeline-main` is `<folder>/AWS-CodePipeline-Pipeline/pipeline-main.json`;
    characters of an id that cannot be in a file's name are percent-encoded.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, type_name: str, resource_id: str) -> Path:
        """Return the file of a resource, whether it exists or not."""
        name = urllib.parse.quote(resource_id, safe="")
        return self._folder / type_name.replace("::", "-") / f"{name}.json"

    def exists(self, type_name: str, resource_id: str) -> bool:
        """Tell whether the resource exists."""
        return self.path(type_name, resource_id).exists()

    def read(self, type_name: str, resource_id: str) -> dict[str, Any] | None:
        """Return a resource's properties; None when there is no such resource."""
        path = self.path(type_name, resource_id)
        if not path.exists():
            return None
        properties: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return properties

    def write(self, type_name: str, resource_id: str, properties: Mapping[str, Any]) -> None:
        """Write a resource in one step: a reader sees the old or the new state."""
        path = self.path(type_name, resource_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(properties, indent=2, default=str), encoding="utf-8")
        partial.rename(path)

    def remove(self, type_name: str, resource_id: str) -> None:
        """Forget a resource, if it is there."""
        self.path(type_name, resource_id).unlink(missing_ok=True)

    def ids(self) -> dict[str, set[str]]:
        """Return the ids of all resources by type."""
        found: dict[str, set[str]] = {}
        for path in self._folder.glob("*/*.json"):
            found.setdefault(path.parent.name.replace("-", "::"), set()).add(urllib.parse.unquote(path.stem))
        return found
