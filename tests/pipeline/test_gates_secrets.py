"""A secret in any commit fails the gate, removed since or not, unless its value is allowed."""

import json
import subprocess
from pathlib import Path

import pytest

from pipeline.gates import secrets
from pipeline.gates.findings import GateError

# Concatenated, so that this file itself contains nothing that looks like a secret.
PLANTED = {
    "private-key": ["-----BEGIN RSA " + "PRIVATE KEY-----", "-----BEGIN ENCRYPTED " + "PRIVATE KEY-----"],
    "aws-access-key": ["AKIA" + "QYLPMN5HHHFPZAM2"],
    "aws-secret-key": ["aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG+" + "bPxRfiCYEXAMPLEKEY"],
    "live-api-key": [
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",  # Stripe's
        "rk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",  # Stripe's, restricted
        "sk_live_" + "merchant_4eC39HqLyjWDarjtT1zdp7dc4eC39HqLyjW",  # of this API
    ],
    "webhook-secret": ["whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    "github-token": ["ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a", "github_pat_" + "16C7e42F292c6912E771_" * 3],
    "slack-token": ["xoxb-" + "123456789012-abcdefABCDEF", "xoxe-" + "1-My0xLTEyMzQ1Njc4OTAx"],
    "google-api-key": ["AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"[:35]],
    "npm-token": ["npm_" + "1234567890abcdefghijklmnopqrstuvwxyz"],
    "pypi-token": ["pypi-" + "AgEIcHlwaS5vcmcCJD" + "0123456789abcdef" * 4],
    "json-web-token": ["eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NSJ9" + ".dozjgNryP4J3jVmNHl0w5N"],
    "password-in-url": [
        "postgresql://owner:" + "hunter22@db.example/payments",
        "amqps://owner:" + "h+nter!22@mq",
    ],
    "assigned-secret": ['password = "' + "k3J9sQ2xV7mN4pR8" + '"', "API_TOKEN: '" + "k3J9sQ2xV7mN4pR8'"],
}
HARMLESS = [
    "password = os.environ['PASSWORD']",
    'password = "not-a-secret-but-words"',
    "secret: ${GeneratedSecret.Arn}",
    "https://user:${PASSWORD}@host.example/",
    "sk_test_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "--hash=sha256:" + "0123456789abcdef" * 4,
]


class Repository:
    """A git repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch", "main")

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True)

    def commit(self, text: str | None, message: str = "change", file: str = "settings.py") -> None:
        if text is None:
            (self.folder / file).unlink()
        else:
            (self.folder / file).write_text(text + "\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path)
    repository = Repository(tmp_path / "project")
    repository.commit('"""Clean."""')
    return repository


@pytest.mark.parametrize("rule", PLANTED)
def test_every_kind_of_secret_is_found(rule: str) -> None:
    for text in PLANTED[rule]:
        assert rule in [found for found, _ in secrets.secrets_in(text)], text


def test_every_rule_has_an_example() -> None:
    assert set(PLANTED) == {*secrets.RULES, "assigned-secret"}


@pytest.mark.parametrize("text", HARMLESS, ids=["code", "words", "reference", "variable", "test key", "hash"])
def test_harmless_text_is_not_reported(text: str) -> None:
    assert secrets.secrets_in(text) == ()


def test_a_clean_history_passes(repository: Repository) -> None:
    assert secrets.check(repository.folder) == 0


def test_a_secret_that_was_removed_fails(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    secret = PLANTED["live-api-key"][0]
    repository.commit(f"KEY = '{secret}'")
    repository.commit(None)
    assert secrets.check(repository.folder) == 1
    errors = capsys.readouterr().err
    assert "settings.py: live-api-key" in errors
    assert secret not in errors


def test_a_secret_on_another_branch_or_in_a_message_fails(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "-b", "feature")
    repository.commit(f"KEY = '{PLANTED['npm-token'][0]}'")
    repository.git("checkout", "--quiet", "main")
    assert secrets.check(repository.folder) == 1
    repository.git("branch", "--quiet", "-D", "feature")
    repository.git("reflog", "expire", "--expire=now", "--all")
    assert secrets.check(repository.folder) == 0
    repository.commit("x = 1", message=f"Use {PLANTED['aws-access-key'][0]}")
    assert secrets.check(repository.folder) == 1


def test_an_allowed_value_passes(repository: Repository, tmp_path: Path) -> None:
    value = PLANTED["live-api-key"][0]
    repository.commit(f"KEY = '{value}'")
    allowed = tmp_path / "allowed.json"
    allowed.write_text(json.dumps({secrets.fingerprint(value): "published in the processor's documentation"}))
    assert secrets.check(repository.folder, allowed) == 0


def test_a_shallow_clone_fails(repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit("x = 1")
    repository.git("clone", "--quiet", "--depth", "1", f"file://{repository.folder}", str(tmp_path / "shallow"))
    assert secrets.check(tmp_path / "shallow") == 1
    assert "shallow" in capsys.readouterr().err


def test_a_folder_without_history_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert secrets.check(tmp_path) == 1


def test_a_corrupt_history_fails(repository: Repository) -> None:
    objects = repository.folder / ".git" / "objects"
    for path in [path for path in objects.rglob("*") if path.is_file()]:
        path.unlink()
    with pytest.raises(GateError, match="git log"):
        list(secrets.history(repository.folder))


def test_every_allowed_value_has_a_reason() -> None:
    allowed = json.loads(secrets.ALLOWED.read_text())
    assert all(len(reason) > 20 for reason in allowed.values())
