"""`make listen` and `make trigger` are told of the API that `make serve` runs, or of another one."""

import json
import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from local import client

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Arguments and environments of what was executed; the checkout is an empty folder."""
    found: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(client, "_CHECKOUT", tmp_path)

    def execute(_: str, arguments: list[str], environment: dict[str, str]) -> NoReturn:
        found.append((arguments, environment))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execute)
    monkeypatch.setattr("sys.argv", ["client", "listen", "--forward-to", "http://localhost:4242/a b"])
    for name in ("PAYMENTS_URL", "PAYMENTS_API_KEY", "PAYMENTS_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    return found


def test_it_is_told_what_serves(executed: list[tuple[list[str], dict[str, str]]], tmp_path: Path) -> None:
    (tmp_path / ".run").mkdir()
    facts = {"url": "https://localhost:1", "api_key": "sk_test_a", "ca_file": "/ca files/ca.pem", "pid": 1}
    (tmp_path / ".run" / "serve.json").write_text(json.dumps(facts))
    with pytest.raises(SystemExit):
        client.main()
    ((arguments, environment),) = executed
    assert arguments[1:] == ["-m", "payments", "listen", "--forward-to", "http://localhost:4242/a b"]
    assert environment["PAYMENTS_URL"] == "https://localhost:1"
    assert environment["PAYMENTS_API_KEY"] == "sk_test_a"
    assert environment["PAYMENTS_CA_FILE"] == "/ca files/ca.pem"
    assert environment["PYTHONPATH"] == str(tmp_path / "service")


def test_another_api_is_left_as_it_is(
    executed: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENTS_URL", "https://api.example")
    with pytest.raises(SystemExit):
        client.main()
    assert "PAYMENTS_API_KEY" not in executed[0][1]


def test_it_says_how_to_start_one(executed: list[tuple[list[str], dict[str, str]]]) -> None:
    with pytest.raises(SystemExit, match=r"make listen: no API runs in this checkout\. Start `make serve`"):
        client.main()
    assert not executed


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["listen"], "local.client listen\n"),
        (["listen", "FORWARD_TO=http://localhost:1/?a=b&c"], "local.client listen --forward-to 'http://localhost:1/?a=b&c'\n"),
        (["trigger"], "local.client trigger --help\n"),
        (["trigger", "EVENT=payment.failed"], "local.client trigger 'payment.failed'\n"),
    ],
)  # fmt: skip
def test_make_passes_on_what_it_was_told(command: list[str], said: str) -> None:
    make = ["make", "--dry-run", "--old-file=setup", *command]
    inherited = ("MAKE", "MFLAGS")  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if not name.startswith(inherited)}
    done = subprocess.run(make, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.replace(" \n", "\n").endswith(said)
