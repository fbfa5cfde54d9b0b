"""One HTTPS server for all tests, which each test breaks in its own way."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integ.client import ApiClient
from integ.settings import Settings
from tests.integ.api import API_KEY, Api, make_certificate, serving


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="session")
def server(certificate: Path) -> Iterator[Api]:
    context, _ = make_certificate(certificate)
    with serving(Api(context=context)) as api:
        yield api


@pytest.fixture
def api(server: Api) -> Iterator[Api]:
    """Return the server without any fault."""
    yield server
    server.faults.clear()
    server.failures_left = 0
    server.payments.clear()
    server.responses.clear()


@pytest.fixture
def settings(api: Api, certificate: Path) -> Settings:
    _, _, key_id, secret = API_KEY.split("_")
    return Settings(base_url=api.url, key_id=key_id, key_secret=secret, ca_bundle=str(certificate / "root.pem"))


@pytest.fixture
def client(settings: Settings) -> ApiClient:
    return ApiClient(settings=settings, pause=0)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip all pauses."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr("integ.payments._SETTLEMENT_SECONDS", 0.2)
