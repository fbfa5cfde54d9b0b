"""The command that a rehearsal prints once the environments serve."""

import json
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from local import example


class SecretsManager:
    """Has one secret."""

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803 - the name in boto3
        assert SecretId == "arn:smoke"
        return {"SecretString": json.dumps({"id": "smokedev", "secret": "s3cret"})}


def test_it_has_the_url_and_the_smoke_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = {"ApiUrl": "https://localhost:9443", "SmokeKeySecretArn": "arn:smoke"}
    monkeypatch.setenv("STACK_OUTPUTS", json.dumps(outputs))
    monkeypatch.setenv("CA_FILE", "/ca files/ca.pem")
    monkeypatch.setattr(boto3, "client", lambda _service: SecretsManager())

    assert example.main() == 0

    printed = capsys.readouterr().out
    assert "curl --cacert '/ca files/ca.pem' https://localhost:9443/v1/payments" in printed
    assert "Authorization: Bearer sk_test_smokedev_s3cret" in printed


def test_serving_needs_nothing_of_an_emulated_account() -> None:
    code = "import sys, local.serve; print([name for name in sys.modules if name in {'boto3', 'ministack'}])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
