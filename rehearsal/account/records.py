"""Resources without an emulated API: files with their resolved properties."""

import json
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Records:
    """Resolved properties by resource type and physical id.

    The pipeline `pipeline-main` is in `<folder>/AWS-CodePipeline-Pipeline/pipeline-main.json`; characters of an id that
    a file name cannot have are percent-encoded.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def exists(self, type_name: str, resource_id: str) -> bool:
        """Return whether the resource exists."""
        return self._path(type_name, resource_id).exists()

    def read(self, type_name: str, resource_id: str) -> dict[str, Any] | None:
        """Return the properties of a resource; None when it does not exist."""
        path = self._path(type_name, resource_id)
        if not path.exists():
            return None
        properties: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return properties

    def write(self, type_name: str, resource_id: str, properties: Mapping[str, Any]) -> None:
        """Create or replace a resource atomically."""
        path = self._path(type_name, resource_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".partial")
        draft.write_text(json.dumps(properties, indent=2, default=str), encoding="utf-8")
        draft.rename(path)

    def remove(self, type_name: str, resource_id: str) -> None:
        """Remove a resource, if it exists."""
        self._path(type_name, resource_id).unlink(missing_ok=True)

    def ids(self) -> dict[str, set[str]]:
        """Return the ids of all resources by type."""
        found: dict[str, set[str]] = {}
        for path in self._folder.glob("*/*.json"):
            found.setdefault(path.parent.name.replace("-", "::"), set()).add(urllib.parse.unquote(path.stem))
        return found

    def _path(self, type_name: str, resource_id: str) -> Path:
        name = urllib.parse.quote(resource_id, safe="")
        return self._folder / type_name.replace("::", "-") / f"{name}.json"
