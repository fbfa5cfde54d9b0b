"""The command: what it reads, what it shows, how it ends."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from integ.__main__ import CHECKS, main, run
from integ.client import Client
from integ.settings import Settings, SettingsError
from tests.integ.api import API_KEY, Api

REQUIRED = {"BASE_URL": "https://api.payments.example", "SMOKE_KEY_ID": "smokedev", "SMOKE_KEY_SECRET": "s" * 43}


@pytest.fixture
def environment(api: Api, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    _, _, key_id, secret = API_KEY.split("_")
    variables = {
        "BASE_URL": api.url,
        "SMOKE_KEY_ID": key_id,
        "SMOKE_KEY_SECRET": secret,
        "CA_BUNDLE": str(certificate / "certificate.pem"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_a_sound_api_ends_with_success_and_a_report(environment: Mapping[str, str], tmp_path: Path) -> None:
    report = tmp_path / "reports" / "smoke.xml"
    finished = subprocess.run(
        [sys.executable, "-m", "integ", "--junit", str(report)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    suite = ET.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == (str(len(CHECKS)), "0", "1")
    assert [case.find("skipped") is not None for case in suite].count(True) == 1


def test_a_failure_names_the_promise_and_shows_the_exchange_but_not_the_key(
    api: Api, environment: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.faults.add("declined")
    report = tmp_path / "smoke.xml"
    assert main(["--junit", str(report)]) == 1
    shown = capsys.readouterr().out
    assert "failed  A payment is authorized, captured and refunded" in shown
    assert "want status 201 or 202, got 402" in shown
    assert f"> POST {api.url}/v1/payments" in shown
    assert '< {"status": 402, "code": "card_declined"}' in shown
    assert environment["SMOKE_KEY_SECRET"] not in shown + report.read_text()
    assert 'failures="4"' in report.read_text()


def test_a_long_body_is_shortened(api: Api, environment: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    api.faults.add("small limit")
    assert main([]) == 1
    assert "more characters)" in capsys.readouterr().out


def test_an_unreachable_api_is_waited_for_and_then_named(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("BASE_URL", f"https://127.0.0.1:{port}")
    assert main(["--patience", "0.05"]) == 1
    shown = capsys.readouterr().out
    assert "not alive after 0.05 s" in shown
    assert "no answer" in shown
    assert "2 checks, 2 failed" in shown


def test_an_api_that_never_gets_healthy_is_one_failure(api: Api, client: Client) -> None:
    api.faults.add("health")
    results = run(client, patience=0.05)
    assert [(result.name, result.outcome) for result in results] == [("reachable", "failed")]


def test_a_release_that_comes_up_late_is_waited_for(api: Api, client: Client) -> None:
    api.failures_left = 2 * client.attempts
    assert {result.outcome for result in run(client, patience=30)} == {"passed", "skipped"}


def test_missing_variables_are_all_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in REQUIRED:
        monkeypatch.delenv(name, raising=False)
    assert main([]) == 2
    assert "BASE_URL, SMOKE_KEY_ID, SMOKE_KEY_SECRET is not set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"BASE_URL": "http://api.payments.example"}, "https://"), ({"FIREWALL": "maybe"}, "FIREWALL")],
)
def test_a_wrong_variable_is_named(wrong: Mapping[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.from_environment({**REQUIRED, **wrong})


def test_the_target_decides_what_is_expected_of_it() -> None:
    cloud = Settings.from_environment(REQUIRED)
    assert (cloud.http_url, cloud.firewall, cloud.port) == ("http://api.payments.example", True, 443)
    local = Settings.from_environment({**REQUIRED, "BASE_URL": "https://localhost:8443/"})
    assert (local.http_url, local.firewall, local.base_url) == (None, True, "https://localhost:8443")
    told = Settings.from_environment(
        {**REQUIRED, "BASE_URL": "https://127.0.0.1:8443", "FIREWALL": "absent", "HTTP_URL": "http://127.0.0.1:8080"}
    )
    assert (told.http_url, told.firewall) == ("http://127.0.0.1:8080", False)
