"""The audit of Node packages: the real `npm audit`, against a fake advisory service."""

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.gates import node_dependencies
from pipeline.gates.node_dependencies import KNOWN_VULNERABLE
from tests.pipeline.model import PROJECT

pytestmark = pytest.mark.rehearsal  # every audit starts Node, too slow for the synth step

CODEBUILD = {"CODEBUILD_BUILD_ID": "project-synth-main:1"}
REHEARSAL = {**CODEBUILD, "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}


def advisory(identifier: str) -> Mapping[str, object]:
    return {
        "id": 1,
        "url": f"https://github.com/advisories/{identifier}",
        "title": "Runs what it reads",
        "severity": "moderate",
        "vulnerable_versions": "*",
    }


@dataclass
class Service:
    """A fake advisory service: its advisories by package, and the packages that it was asked about."""

    url: str = ""
    advisories: dict[str, list[Mapping[str, object]]] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("PATH", f"{PROJECT / '.venv' / 'nodejs'}:{PROJECT / '.venv' / 'bin'}:/usr/bin:/bin")
    fake = Service(advisories={KNOWN_VULNERABLE[0]: [advisory("GHSA-xvch-5gv4-984h")]})

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            names = json.loads(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            fake.requested += names
            self._respond({name: fake.advisories[name] for name in names if name in fake.advisories})

        def do_GET(self) -> None:
            name = self.path.strip("/")
            self._respond({"name": name, "versions": {"1.0.0": {"name": name, "version": "1.0.0"}}})

        def _respond(self, content: Mapping[str, object]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_port}/"
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one locked package, `left`."""
    monkeypatch.chdir(tmp_path)
    root = {"name": "project", "version": "1.0.0", "dependencies": {"left": "1.0.0"}}
    (tmp_path / "package.json").write_text(json.dumps(root))
    packages = {"": root, "node_modules/left": {"version": "1.0.0"}}
    (tmp_path / "package-lock.json").write_text(json.dumps({**root, "lockfileVersion": 3, "packages": packages}))
    (tmp_path / "accepted.json").write_text("{}")
    return tmp_path


def run_gate(folder: Path, service: Service, environ: Mapping[str, str] = CODEBUILD) -> int:
    return node_dependencies.check(folder, registry=service.url, environ=environ, accepted=folder / "accepted.json")


def test_a_package_without_vulnerabilities_passes(
    folder: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_gate(folder, service) == 0
    assert "node-dependencies: 1 packages checked, 0 findings" in capsys.readouterr().out
    assert service.requested == [KNOWN_VULNERABLE[0], "left"]


def test_a_vulnerability_fails_until_it_is_accepted(
    folder: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.advisories["left"] = [advisory("GHSA-aaaa-bbbb-cccc")]
    assert run_gate(folder, service) == 1
    assert "left *: GHSA-aaaa-bbbb-cccc: known vulnerability, moderate: Runs what it reads" in capsys.readouterr().err
    (folder / "accepted.json").write_text(
        json.dumps({"GHSA-aaaa-bbbb-cccc": {"reason": "used on developers' machines only", "until": "9999-12-31"}})
    )
    assert run_gate(folder, service) == 0


def test_a_useless_service_fails_in_aws_only(
    folder: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """`npm audit` itself succeeds."""
    service.advisories.clear()
    assert run_gate(folder, service, CODEBUILD) == 1
    assert "knows nothing" in capsys.readouterr().err
    for environ in (REHEARSAL, {}):
        assert run_gate(folder, service, environ) == 0
        assert "NOT CHECKED" in capsys.readouterr().out


def test_an_unreachable_service_fails_in_aws_only(
    folder: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.url = "http://127.0.0.1:9/"
    assert run_gate(folder, service, CODEBUILD) == 1
    assert "npm audit got no response" in capsys.readouterr().err
    assert run_gate(folder, service, REHEARSAL) == 0
    assert "NOT CHECKED" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "{", '{"packages": {"": {}}}'], ids=["empty", "malformed", "no packages"])
def test_a_lock_file_without_packages_fails(folder: Path, service: Service, content: str) -> None:
    (folder / "package-lock.json").write_text(content)
    assert run_gate(folder, service) == 1
