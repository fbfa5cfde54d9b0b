"""Every command in the README is one that tests run, and its first mistake is told completely."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()
#: What a command of the README runs, and the tests that run the same, to its end.
RUN: dict[str, tuple[str, str]] = {
    "rehearse": ("-m rehearsal", "tests/local/test_whole_pipeline.py"),
    "serve": ("-m local.serve", "tests/local/test_serve.py"),
    "deploy": ("cdk deploy PipelineStack", "tests/docs/test_readme.py"),
    "destroy": ("-m operations.destroy", "tests/operations/test_destroy.py"),
}


def commands() -> list[list[str]]:
    """The lines of the code blocks that a person types."""
    lines = re.findall(r"^    (.+)$", README, re.M)
    return [shlex.split(line) for line in lines if "->" not in line]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell without credentials."""
    inherited = ("AWS_", "MAKE", "MFLAGS", "CDK_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(inherited)}
    environment |= dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    environment["AWS_EC2_METADATA_DISABLED"] = "true"
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_every_command_of_the_readme_is_one_that_tests_run() -> None:
    assert {command[0] for command in commands()} == {"make"}
    (own,) = {command[1] for command in commands()} - RUN.keys()
    assert f"exec make {own}" in (PROJECT / ".ci" / "run").read_text(), "the command that runs these tests"
    for command in commands():
        if command[1] != own:  # a make within make runs even if it is dry
            runs, where = RUN[command[1]]
            assert runs in make("--dry-run", *command[1:]).stdout
            assert runs.removeprefix("-m ") in (PROJECT / where).read_text()


def test_make_alone_lists_every_command_by_what_people_want_to_do() -> None:
    listed = make().stdout
    groups = re.findall(r"^(\S.*)\n((?:  make .+\n?)+)", listed, re.M)
    named = {name for _, lines in groups for name in re.findall(r"^  make (\S+) ", lines, re.M)}
    assert groups[0][0] == "Try it, without an AWS account"
    assert named >= RUN.keys() | {"test"}
    phony = set(re.findall(r"^([a-z-]+):.*##", (PROJECT / "Makefile").read_text(), re.M))
    assert named == phony


@pytest.mark.rehearsal
def test_a_deployment_without_configuration_names_all_that_is_missing() -> None:
    done = make("deploy")
    assert done.returncode != 0
    for key in ("account", "connection_arn", "repository", "certificate_arn"):
        assert f"-c {key}=" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
