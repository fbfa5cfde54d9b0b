"""The options of the commands are checked before anything starts."""

import pytest

from rehearsal.cli import options
from rehearsal.cli.options import ApprovalMode, Options
from rehearsal.host.settings import SettingsError


@pytest.fixture(params=[True, False], ids=["terminal", "no terminal"])
def interactive(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    for name in ("APPROVE", "REHEARSE_PORT", "REVISION", "DEPLOYED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(options, "is_interactive", lambda: request.param)
    return bool(request.param)


def test_defaults_depend_on_the_terminal(interactive: bool) -> None:
    defaults = Options.read()
    assert defaults.approval_mode is (ApprovalMode.ASK if interactive else ApprovalMode.AUTO)
    assert defaults.keeps_serving is interactive
    assert (defaults.revision, defaults.deployed_revision) == ("HEAD", "HEAD")


@pytest.mark.usefixtures("interactive")
def test_with_a_decision_nothing_keeps_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPROVE", "auto")
    assert Options.read().keeps_serving is False


def test_the_rehearsed_revision_is_deployed_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVISION", "feature")
    assert Options.read().deployed_revision == "feature"
    monkeypatch.setenv("DEPLOYED", "main")
    assert Options.read().deployed_revision == "main"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("APPROVE", "yes", "APPROVE=yes: Input should be 'auto', 'reject' or 'ask'"),
        ("REHEARSE_PORT", "http", "REHEARSE_PORT=http: Input should be a valid integer"),
        ("REHEARSE_PORT", "70000", "REHEARSE_PORT=70000: Input should be less than or equal to 65000"),
    ],
    ids=["approve", "no number", "too large"],
)
def test_an_invalid_value_is_refused(name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message):
        Options.read()
