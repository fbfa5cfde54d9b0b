"""Every check passes on a correct API, and fails on one with exactly its fault."""

import dataclasses
import socket
import ssl
from pathlib import Path

import pytest

from integ import guards, health, payments, transport
from integ.__main__ import CHECKS, Check, run
from integ.client import ApiClient, CheckError, SkippedError
from integ.settings import Settings
from tests.integ.api import HOST_NAME, Api, make_certificate, serving


def test_a_correct_api_passes_every_check(client: ApiClient) -> None:
    results = run(client, wait=1)
    assert [(r.name, r.reason) for r in results if r.status == "failed"] == []
    assert len(results) == len(CHECKS)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("health", health.alive),
        ("no json", health.alive),
        ("list", health.alive),
        ("readiness", health.ready),
        ("no Strict-Transport-Security", guards.security_headers),
        ("no X-Content-Type-Options", guards.security_headers),
        ("no Content-Security-Policy", guards.security_headers),
        ("server version", guards.security_headers),
        ("no authentication", guards.authentication),
        ("no problem", guards.authentication),
        ("declined", payments.life_cycle),
        ("live", payments.life_cycle),
        ("capture", payments.life_cycle),
        ("refund", payments.life_cycle),
        ("replay", payments.idempotency),
        ("replay header", payments.idempotency),
        ("low limit", guards.body_limit),
        ("no limit", guards.body_limit),
        ("firewall", guards.firewall),
        ("firewall page", guards.firewall),
        ("firewall code", guards.firewall),
        ("firewall blocks text", guards.free_text),
    ],
)
def test_a_fault_fails_its_check(api: Api, client: ApiClient, fault: str, check: Check) -> None:
    check(client)
    api.faults.add(fault)
    with pytest.raises(CheckError):
        check(client)


def test_a_delayed_outcome_is_waited_for(api: Api, client: ApiClient) -> None:
    api.faults.add("unknown outcome")
    payments.life_cycle(client)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_transient_status_is_retried(api: Api, client: ApiClient, status: int) -> None:
    api.failure = status
    api.failures_left = client.attempts - 1
    health.ready(client)
    api.failures_left = client.attempts
    with pytest.raises(CheckError, match=f"want status 200, got {status}"):
        health.ready(client)


def test_an_untrusted_certificate_fails(settings: Settings) -> None:
    with pytest.raises(CheckError, match="certificate"):
        transport.certificate(ApiClient(settings=dataclasses.replace(settings, ca_bundle=None)))


def test_an_expired_certificate_fails(tmp_path: Path, settings: Settings) -> None:
    context, pem = make_certificate(tmp_path, days=-1)
    with serving(Api(context=context)) as api, pytest.raises(CheckError, match="expired"):
        transport.certificate(ApiClient(settings=dataclasses.replace(settings, base_url=api.url, ca_bundle=str(pem))))


def test_a_certificate_for_another_name_fails_unless_that_name_is_expected(tmp_path: Path, settings: Settings) -> None:
    context, pem = make_certificate(tmp_path, name=HOST_NAME)
    with serving(Api(context=context)) as api:
        other = dataclasses.replace(settings, base_url=api.url, ca_bundle=str(pem))
        with pytest.raises(CheckError, match="rejected"):
            transport.certificate(ApiClient(settings=other))
        expected = ApiClient(settings=dataclasses.replace(other, server_name=HOST_NAME))
        transport.certificate(expected)
        health.alive(expected)


def test_a_server_without_tls_fails(settings: Settings) -> None:
    with serving(Api(context=None)) as api:
        plain = dataclasses.replace(settings, base_url=api.url.replace("http:", "https:"))
        with pytest.raises(CheckError, match=r"TLS 1\.2"):
            transport.certificate(ApiClient(settings=plain))


def test_a_server_that_accepts_old_tls_fails(tmp_path: Path, settings: Settings) -> None:
    context, pem = make_certificate(tmp_path)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with serving(Api(context=context)) as api:
        client = ApiClient(settings=dataclasses.replace(settings, base_url=api.url, ca_bundle=str(pem)))
        with pytest.raises((CheckError, SkippedError), match=r"accepts TLSv1\.1|cannot offer TLS 1\.1"):
            transport.old_tls(client)


def test_a_server_that_disconnects_on_old_tls_passes(settings: Settings) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        settings = dataclasses.replace(settings, base_url=f"https://127.0.0.1:{listener.getsockname()[1]}")

        def disconnect(*_: object, **__: object) -> None:
            raise ConnectionResetError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ssl.SSLContext, "wrap_socket", disconnect)
            transport.old_tls(ApiClient(settings=settings))


@pytest.mark.parametrize("error", [ValueError("no such version"), ssl.SSLError("no such cipher")])
def test_without_support_for_old_tls_its_check_is_skipped(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ssl.SSLContext, "set_ciphers", fail)
    with pytest.raises(SkippedError):
        transport.old_tls(client)


def test_a_handshake_that_cannot_be_offered_is_skipped(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        error = ssl.SSLError(1, "no protocols available")
        error.reason = "NO_PROTOCOLS_AVAILABLE"
        raise error

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", fail)
    with pytest.raises(SkippedError):
        transport.old_tls(client)


@pytest.mark.parametrize("fault", ["", "no redirect", "insecure redirect", "lost path"])
def test_plain_http_must_redirect_to_the_same_path(settings: Settings, fault: str) -> None:
    with serving(Api(context=None, https_url="https://127.0.0.1")) as plain:
        client = ApiClient(settings=dataclasses.replace(settings, http_url=plain.url))
        plain.faults.add(fault)
        if fault:
            with pytest.raises(CheckError):
                transport.plain_http(client)
        else:
            transport.plain_http(client)


def test_without_a_plain_http_listener_its_check_is_skipped(client: ApiClient) -> None:
    with pytest.raises(SkippedError, match="HTTP_URL"):
        transport.plain_http(client)


def test_without_a_firewall_its_check_is_skipped(settings: Settings) -> None:
    with pytest.raises(SkippedError, match="firewall"):
        guards.firewall(ApiClient(settings=dataclasses.replace(settings, firewall=False)))
