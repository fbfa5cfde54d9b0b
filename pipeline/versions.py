"""Versions of the tools that builds install, from the one place where each is pinned."""

import json
from pathlib import Path

_PROJECT = Path(__file__).parents[1]


def npm_version(package: str) -> str:
    """The exact version of an npm package that `package.json` pins.

    Raises:
        ValueError: it is a range, with which a build would differ from what was tested.
        KeyError: it is not there.
    """
    declared = json.loads((_PROJECT / "package.json").read_text(encoding="utf-8"))
    version: str = {**declared.get("devDependencies", {}), **declared.get("dependencies", {})}[package]
    if not version[0].isdigit():
        raise ValueError(f"package.json: {package} must be pinned exactly, not {version!r}.")
    return version
