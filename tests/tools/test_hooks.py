"""The pre-commit hooks refuse what `make lint` refuses."""

import re
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]


def test_the_hooks_are_the_targets_of_make_lint() -> None:
    (targets,) = re.findall(r"^lint: ([\w -]+) ##", (PROJECT / "Makefile").read_text(), re.M)
    (repository,) = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["id"] for hook in repository["hooks"]}
    assert repository["repo"] == "local", "a hook needs no network"
    assert hooks == {*targets.split(), "format"}
