"""The command: its settings, its output and its exit status."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from junitparser import JUnitXml

from integ.__main__ import CHECKS, main, run
from integ.client import ApiClient
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
        "CA_BUNDLE": str(certificate / "root.pem"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_success_is_reported(environment: Mapping[str, str], tmp_path: Path) -> None:
    report = tmp_path / "reports" / "smoke.xml"
    finished = subprocess.run(
        [sys.executable, "-m", "integ", "--junit", str(report)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (suite,) = JUnitXml.fromfile(str(report))
    assert (suite.tests, suite.failures, suite.skipped) == (len(CHECKS), 0, 1)
    assert [case.is_skipped for case in suite].count(True) == 1


def test_a_failure_shows_the_exchange_but_not_the_key(
    api: Api, environment: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.faults.add("declined")
    report = tmp_path / "smoke.xml"
    assert main(["--junit", str(report)]) == 1
    output = capsys.readouterr().out
    assert "failed  A payment is authorized, captured and refunded" in output
    assert "want status 201 or 202, got 402" in output
    assert f"> POST {api.url}/v1/payments" in output
    assert '< {"status": 402, "code": "card_declined"}' in output
    assert environment["SMOKE_KEY_SECRET"] not in output + report.read_text()
    assert 'failures="4"' in report.read_text()


def test_a_long_body_is_shortened(api: Api, environment: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    api.faults.add("low limit")
    assert main([]) == 1
    assert "more characters)" in capsys.readouterr().out


def test_an_unreachable_api_fails_after_the_wait(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("BASE_URL", f"https://127.0.0.1:{port}")
    assert main(["--wait", "0.05"]) == 1
    output = capsys.readouterr().out
    assert "not alive after 0.05 s" in output
    assert "no response" in output
    assert "2 checks, 2 failed" in output


def test_an_api_that_never_becomes_healthy_is_one_failure(api: Api, client: ApiClient) -> None:
    api.faults.add("health")
    results = run(client, wait=0.05)
    assert [(result.name, result.status) for result in results] == [("reachable", "failed")]


def test_a_late_deployment_is_waited_for(api: Api, client: ApiClient) -> None:
    api.failures_left = 2 * client.attempts
    assert {result.status for result in run(client, wait=30)} == {"passed", "skipped"}


def test_missing_variables_are_all_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in REQUIRED:
        monkeypatch.delenv(name, raising=False)
    assert main([]) == 2
    assert "BASE_URL, SMOKE_KEY_ID, SMOKE_KEY_SECRET is not set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("invalid", "named"),
    [({"BASE_URL": "http://api.payments.example"}, "https://"), ({"FIREWALL": "maybe"}, "FIREWALL")],
)
def test_an_invalid_variable_is_named(invalid: Mapping[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.from_environment({**REQUIRED, **invalid})


def test_defaults_depend_on_the_url() -> None:
    cloud = Settings.from_environment(REQUIRED)
    assert (cloud.http_url, cloud.firewall, cloud.port) == ("http://api.payments.example", True, 443)
    local = Settings.from_environment({**REQUIRED, "BASE_URL": "https://localhost:8443/"})
    assert (local.http_url, local.firewall, local.base_url) == (None, True, "https://localhost:8443")
    explicit = Settings.from_environment(
        {**REQUIRED, "BASE_URL": "https://127.0.0.1:8443", "FIREWALL": "absent", "HTTP_URL": "http://127.0.0.1:8080"}
    )
    assert (explicit.http_url, explicit.firewall) == ("http://127.0.0.1:8080", False)
