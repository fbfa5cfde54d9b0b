"""Every check passes on an API that keeps its promises, and fails on one that breaks exactly its own."""

import dataclasses
import socket
import ssl
from pathlib import Path

import pytest

from integ import edge, payments, transport
from integ.__main__ import CHECKS, Check, run
from integ.client import CheckError, Client, SkippedError
from integ.settings import Settings
from tests.integ.api import HOST_NAME, Api, make_certificate, serving


def test_a_sound_api_passes_every_check(client: Client) -> None:
    results = run(client, patience=1)
    assert [(r.name, r.reason) for r in results if r.outcome == "failed"] == []
    assert len(results) == len(CHECKS)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("health", edge.alive),
        ("no json", edge.alive),
        ("list", edge.alive),
        ("readiness", edge.ready),
        ("no Strict-Transport-Security", edge.security_headers),
        ("no X-Content-Type-Options", edge.security_headers),
        ("no Content-Security-Policy", edge.security_headers),
        ("server version", edge.security_headers),
        ("open door", edge.anonymous_is_refused),
        ("plain 401", edge.anonymous_is_refused),
        ("declined", payments.payment_goes_all_its_way),
        ("live", payments.payment_goes_all_its_way),
        ("capture", payments.payment_goes_all_its_way),
        ("refund", payments.payment_goes_all_its_way),
        ("replay", payments.repeated_request_is_replayed),
        ("replay header", payments.repeated_request_is_replayed),
        ("small limit", edge.largest_body_is_accepted),
        ("no limit", edge.largest_body_is_accepted),
        ("firewall", edge.firewall_answers),
        ("page of the firewall", edge.firewall_answers),
        ("code of the firewall", edge.firewall_answers),
        ("firewall judges text", edge.free_text_is_accepted),
    ],
)
def test_a_broken_promise_fails_its_check(api: Api, client: Client, fault: str, check: Check) -> None:
    check(client)
    api.faults.add(fault)
    with pytest.raises(CheckError):
        check(client)


def test_an_outcome_that_is_found_out_a_moment_later_is_waited_for(api: Api, client: Client) -> None:
    api.faults.add("slow truth")
    payments.payment_goes_all_its_way(client)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_api_and_a_load_balancer_that_changes_targets_are_asked_again(
    api: Api, client: Client, status: int
) -> None:
    api.failure = status
    api.failures_left = client.attempts - 1
    edge.ready(client)
    api.failures_left = client.attempts
    with pytest.raises(CheckError, match=f"want status 200, got {status}"):
        edge.ready(client)


def test_an_untrusted_certificate_fails(settings: Settings) -> None:
    with pytest.raises(CheckError, match="certificate"):
        transport.certificate_is_trusted(Client(settings=dataclasses.replace(settings, ca_bundle=None)))


def test_an_expired_certificate_fails(tmp_path: Path, settings: Settings) -> None:
    context, pem = make_certificate(tmp_path, days=-1)
    with serving(Api(context=context)) as api, pytest.raises(CheckError, match="expired"):
        transport.certificate_is_trusted(
            Client(settings=dataclasses.replace(settings, base_url=api.url, ca_bundle=str(pem)))
        )


def test_a_certificate_for_another_name_fails_unless_that_name_is_expected(tmp_path: Path, settings: Settings) -> None:
    context, pem = make_certificate(tmp_path, name=HOST_NAME)
    with serving(Api(context=context)) as api:
        other = dataclasses.replace(settings, base_url=api.url, ca_bundle=str(pem))
        with pytest.raises(CheckError, match="refused"):
            transport.certificate_is_trusted(Client(settings=other))
        expected = Client(settings=dataclasses.replace(other, server_name=HOST_NAME))
        transport.certificate_is_trusted(expected)
        edge.alive(expected)


def test_a_server_that_speaks_no_tls_fails(settings: Settings) -> None:
    with serving(Api(context=None)) as api:
        plain = dataclasses.replace(settings, base_url=api.url.replace("http:", "https:"))
        with pytest.raises(CheckError, match=r"TLS 1\.2"):
            transport.certificate_is_trusted(Client(settings=plain))


def test_a_server_that_accepts_old_tls_fails(tmp_path: Path, settings: Settings) -> None:
    context, pem = make_certificate(tmp_path)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with serving(Api(context=context)) as api:
        client = Client(settings=dataclasses.replace(settings, base_url=api.url, ca_bundle=str(pem)))
        with pytest.raises((CheckError, SkippedError), match=r"accepts TLSv1\.1|cannot offer TLS 1\.1"):
            transport.old_tls_is_refused(client)


def test_a_server_that_hangs_up_on_old_tls_passes(settings: Settings) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        settings = dataclasses.replace(settings, base_url=f"https://127.0.0.1:{listener.getsockname()[1]}")

        def hang_up(*_: object, **__: object) -> None:
            raise ConnectionResetError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ssl.SSLContext, "wrap_socket", hang_up)
            transport.old_tls_is_refused(Client(settings=settings))


@pytest.mark.parametrize("error", [ValueError("no such version"), ssl.SSLError("no such cipher")])
def test_a_machine_that_cannot_offer_old_tls_says_so(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(ssl.SSLContext, "set_ciphers", refuse)
    with pytest.raises(SkippedError):
        transport.old_tls_is_refused(client)


def test_a_handshake_that_this_machine_cannot_begin_is_no_refusal(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        error = ssl.SSLError(1, "no protocols available")
        error.reason = "NO_PROTOCOLS_AVAILABLE"
        raise error

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", refuse)
    with pytest.raises(SkippedError):
        transport.old_tls_is_refused(client)


@pytest.mark.parametrize("fault", ["", "plain answer", "insecure redirect", "path lost"])
def test_plain_http_must_redirect_to_the_same_path_over_https(settings: Settings, fault: str) -> None:
    with serving(Api(context=None, https_url="https://127.0.0.1")) as plain:
        client = Client(settings=dataclasses.replace(settings, http_url=plain.url))
        plain.faults.add(fault)
        if fault:
            with pytest.raises(CheckError):
                transport.plain_http_redirects(client)
        else:
            transport.plain_http_redirects(client)


def test_without_a_plain_http_listener_its_check_is_skipped(client: Client) -> None:
    with pytest.raises(SkippedError, match="HTTP_URL"):
        transport.plain_http_redirects(client)


def test_without_a_firewall_its_check_is_skipped(settings: Settings) -> None:
    with pytest.raises(SkippedError, match="firewall"):
        edge.firewall_answers(Client(settings=dataclasses.replace(settings, firewall=False)))
