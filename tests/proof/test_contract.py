"""The document refuses what the API refuses and promises what it returns: schemathesis against the real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.proof.profile import profile
from tests.service.fixtures import ApiKey, Postgres
from tests.service.server.processes import Started, environment, is_healthy, start
from tests.waiting import wait_until

pytestmark = pytest.mark.rehearsal

HOOKS = Path(__file__).with_name("contract_hooks.py")
#: Examples per operation, and scenarios that follow links, of the short profile.
EXAMPLES, SCENARIOS = 3, 15


@pytest.fixture
def api(postgres: Postgres, tmp_path: Path) -> Iterator[Started]:
    started = start("api", environment(postgres, tmp_path), tmp_path)
    try:
        wait_until(lambda: is_healthy(started), "the api's health check", timeout=240)
        yield started
    finally:
        started.stop()


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_the_api_keeps_its_document(api: Started, key: ApiKey, tmp_path: Path) -> None:
    """No 5xx, nothing undocumented, invalid input refused, valid input accepted, in every phase."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(f"[phases.stateful.generation]\nmax-examples = {profile().examples(SCENARIOS)}\n")
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run", f"{api.url}/openapi.json"]
    options = {
        "--phases": "examples,coverage,fuzzing,stateful",
        "--checks": "all",
        "--mode": "all",
        "--header": f"Authorization: {key.headers['Authorization']}",
        "--tls-verify": "false",
        "--seed": str(profile().seed),
        "--max-examples": str(profile().examples(EXAMPLES)),
        # Not two: hypothesis parses lambdas, and CPython's parser counts the recursion of all threads as one.
        "--workers": "1",
        "--request-timeout": "30",
        "--report": "junit",
        "--report-dir": str(tmp_path / "report"),
    }
    hooks = {"SCHEMATHESIS_HOOKS": str(HOOKS), "CONTRACT_URL": api.url, "CONTRACT_KEY": key.token}
    run = subprocess.run(
        [*command, *(word for option in options.items() for word in option), "--continue-on-failure", "--no-shrink"],
        cwd=tmp_path,
        env={**os.environ, **hooks, "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{profile()}\n{run.stdout}"
    statuses = [line["status"] for line in api.lines() if line.get("message") == "request"]
    assert {200, 201, 303, 400, 401, 404, 405, 422} <= set(statuses), "the attack gets through, and is refused"
    assert max(statuses) < 500
    again = requests.get(f"{api.url}/v1/payments", headers=key.headers, verify=False, timeout=30)
    assert again.status_code == 200, "it did not revoke its own key, after which everything would be 401"
