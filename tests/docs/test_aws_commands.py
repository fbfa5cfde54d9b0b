"""Every `aws` command of the documents is one that the real AWS CLI sends; here it meets a closed port."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = sorted([PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")])
#: A command up to what ends it in a shell or a sentence; quoted texts are of any kind.
_COMMAND = re.compile(
    r"""\baws [a-z0-9-]+ [a-z0-9-]+(?:"(?:\\.|[^"\\])*"|'[^']*'|\\\n|[^`\n\\"'()|;&<>])*""", re.DOTALL
)
#: What variables and abbreviations stand for, so that the CLI can parse them; the first that fits counts.
_VALUES = (
    (r"\$\(date [^)]*\)", "1700000000"),
    (r"\$\(output network AdminNetwork\)", "awsvpcConfiguration={subnets=[subnet-1],securityGroups=[sg-1]}"),
    (r"\$overrides\b", '{"containerOverrides": [{"name": "admin", "command": ["payments"]}]}'),
    (r"(?<=\.)\$\w+", "field"),
    (r"\$\([^)]*\)|\$\{[^}]*\}+|\$\w+", "1"),
    (r"\.\.\.", "arn:aws:service:us-east-1:000000000000:thing"),
)
#: Runs commands in one process, since each start of the CLI takes a second; prints what each of them said.
_CLI = """
import contextlib, io, json, sys
from awscli.clidriver import create_clidriver
driver, said = create_clidriver(), []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            code = driver.main(words)
        except SystemExit as wrong:
            code = wrong.code
    said.append([code, errors.getvalue()])
print(json.dumps(said))
"""


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a page, as a shell would pass them on."""
    for command in _COMMAND.findall(text):
        words = shlex.split(command.replace("\\\n", " "), comments=True)
        for pattern, value in _VALUES:
            words = [re.sub(pattern, value, word) for word in words]
        if len(words) > 3:  # others are mentioned in a sentence, or have no option to get wrong
            yield words[1:]


def refusals(asked: list[list[str]], folder: Path) -> dict[str, str]:
    """What the CLI refuses to send, and why."""
    environment = {
        "HOME": str(folder),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    done = subprocess.run(
        [sys.executable, "-c", _CLI, json.dumps(asked)],
        cwd=folder,
        env=environment,
        input="{}",
        capture_output=True,
        text=True,
        check=True,
    )
    results = zip(asked, json.loads(done.stdout), strict=True)
    return {shlex.join(words): said for words, (code, said) in results if code and "Could not connect" not in said}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files are that the commands name."""
    (tmp_path / "pipeline").symlink_to(PROJECT / "pipeline")
    for name in ("certificate.pem", "key.pem"):
        (tmp_path / name).write_text("x")
    return tmp_path


def test_the_cli_would_send_each_command(folder: Path) -> None:
    asked = [words for page in PAGES for words in commands(page.read_text())]
    reading = [words for words in asked if "file:///dev/stdin" in words]
    assert len(asked) > 40
    assert reading
    assert refusals([words for words in asked if words not in reading], folder) == {}
    for words in reading:  # each in a process of its own: there is one standard input
        assert refusals([words], folder) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        "aws ecs update-service --cluster c --service s --desired-count many",
        "aws rds failover-db-cluster --cluster c",
        "aws acm import-certificate --certificate-arn ...",
        "aws rds modify-db-cluster --cli-input-json file:///dev/stdin --query x",
    ],
)
def test_a_mistake_is_found(wrong: str, folder: Path) -> None:
    assert refusals(list(commands(wrong)), folder)
