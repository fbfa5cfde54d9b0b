"""Versions of the tools that builds install, read from where they are pinned."""

import json
from pathlib import Path

_PROJECT = Path(__file__).parents[1]


def npm_version(package: str) -> str:
    """Return the exact version of an npm package in `package.json`.

    Raises:
        ValueError: The version is a range, so a build could use another version than the tests.
        KeyError: The package is not listed.
    """
    declared = json.loads((_PROJECT / "package.json").read_text(encoding="utf-8"))
    version: str = {**declared.get("devDependencies", {}), **declared.get("dependencies", {})}[package]
    if not version[0].isdigit():
        raise ValueError(f"package.json: {package} must be pinned to an exact version, not {version!r}.")
    return version
