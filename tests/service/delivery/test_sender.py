"""Webhooks go to public addresses only, and cannot hold a worker up."""

import ipaddress
import socket
import ssl
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.delivery import addresses, connections, sender
from payments.delivery.addresses import AddressRefused
from payments.delivery.connections import Deadline
from payments.delivery.sender import DeliveryResult, Sender
from tests.service.receivers import Receiver, certificate, receiver

_PUBLIC = "93.184.215.14"


# ---- where to -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "169.254.170.2", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "198.18.0.1", "203.0.113.9",
        "::1", "::", "fe80::1", "fd00:ec2::254", "ff02::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe", "2002:a00:1::", "2001:0:1::", "2001:db8::1", "not an address", "fe80::1%eth0",
    ],
)  # fmt: skip
def test_internal_addresses_are_not_public(address: str) -> None:
    assert not addresses.is_public(address)
    with pytest.raises(AddressRefused, match="not public"):
        addresses.resolve_target("https://hooks.example.com/x", resolve=lambda *_: [address])


@given(st.ip_addresses(v=4))
def test_no_private_address_is_public(address: ipaddress.IPv4Address) -> None:
    if address.is_private or address.is_link_local or address.is_multicast or address.is_loopback:
        assert not addresses.is_public(str(address))


@pytest.mark.parametrize("address", [_PUBLIC, "1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses_are_public(address: str) -> None:
    found = addresses.resolve_target("https://hooks.example.com/x?y=1", resolve=lambda *_: [address])
    assert (found.addresses, found.host, found.port, found.path) == ((address,), "hooks.example.com", 443, "/x?y=1")


@pytest.mark.parametrize(
    ("host", "address"), [(_PUBLIC, _PUBLIC), ("[2606:4700:4700::1111]", "2606:4700:4700::1111")], ids=["IPv4", "IPv6"]
)
def test_a_url_may_contain_a_public_address(host: str, address: str) -> None:
    assert addresses.resolve_target(f"https://{host}/", resolve=lambda name, _: [name]).addresses == (address,)


def test_one_internal_address_among_public_ones_is_refused() -> None:
    with pytest.raises(AddressRefused):
        addresses.resolve_target("https://hooks.example.com/", resolve=lambda *_: [_PUBLIC, "10.0.0.1"])


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/", "https://hooks.example.com:8443/", "https://user:pass@hooks.example.com/",
        "https://hooks.example.com/#x", "https://localhost/", "https://127.0.0.1/", "https://[::1]/",
        "https://2130706433/", "https://169.254.169.254/latest", "https:///x", "ftp://hooks.example.com/", "//x.y/",
        "https://hooks.example.com\\@10.0.0.1/", "https://hooks.example.com/ x", "https://ex\u00e4mple.com/",
        "https://a.b:99999/", "https://" + "a" * 2048 + ".com/", "http://127.0.0.1:80/", "https://internal/",
        "https://a.b/\x7f", "https://a.b/\t",
    ],
)  # fmt: skip
def test_malformed_urls_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        addresses.check_url(url)


def test_odd_spellings_of_loopback_are_checked_when_resolved() -> None:
    for host in ("0x7f.1", "127.1", "localtest.example"):
        with pytest.raises(AddressRefused):
            addresses.resolve_target(f"https://{host}/", resolve=lambda *_: ["127.0.0.1"])


def test_a_name_that_does_not_resolve_is_refused() -> None:
    with pytest.raises(AddressRefused, match="resolved"):
        addresses.system_resolve("nowhere.invalid", 443)


def test_development_admits_this_machine_only() -> None:
    assert addresses.resolve_target("http://127.0.0.1:8000/x", allow_local=True).addresses == ("127.0.0.1",)
    for url in ("http://10.0.0.1/", "http://hooks.example.com/", "https://10.0.0.1/"):
        with pytest.raises(AddressRefused):
            addresses.resolve_target(url, allow_local=True)
    with pytest.raises(AddressRefused):
        addresses.resolve_target("http://localhost/", allow_local=True, resolve=lambda *_: ["10.0.0.1"])


# ---- over a real connection -----------------------------------------------------------------------------------------
@pytest.fixture
def local() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def _post(found: Receiver, seconds: float = 5) -> tuple[int | None, str | None]:
    response = Sender(allow_local=True, timeout=timedelta(seconds=seconds)).post(
        found.url, headers={"webhook-id": "evt_1"}, body=b"{}"
    )
    return response.status, response.error


def test_a_message_arrives_unchanged(local: Receiver) -> None:
    assert _post(local) == (200, None)
    received = local.requests[0]
    assert (received.path, received.body, received.headers["webhook-id"]) == ("/hook", b"{}", "evt_1")


def test_a_redirect_is_not_followed(local: Receiver) -> None:
    local.statuses, local.response_headers = [302], {"Location": local.url}
    assert _post(local) == (302, None)
    assert len(local.requests) == 1


@pytest.mark.parametrize(
    ("status", "delivered"),
    [(199, False), (200, True), (204, True), (299, True), (300, False), (301, False), (400, False), (None, False)],
)
def test_only_2xx_is_a_delivery(status: int | None, delivered: bool) -> None:
    assert DeliveryResult(status=status, error=None, duration=timedelta(0)).delivered is delivered


@pytest.mark.parametrize(("status", "gone"), [(410, True), (409, False), (411, False), (200, False), (None, False)])
def test_only_410_means_gone(status: int | None, gone: bool) -> None:
    assert DeliveryResult(status=status, error=None, duration=timedelta(0)).gone is gone


def test_retry_after_is_read(local: Receiver) -> None:
    local.statuses, local.response_headers = [503], {"Retry-After": "120"}
    response = Sender(allow_local=True).post(local.url, headers={}, body=b"{}")
    assert response.retry_after == timedelta(seconds=120)
    local.response_headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert Sender(allow_local=True).post(local.url, headers={}, body=b"{}").retry_after is None


def test_a_closed_port_is_a_result_not_an_exception() -> None:
    with receiver() as found:
        pass
    assert _post(found) == (None, "The connection failed.")


Connections = list[tuple[tuple[str, ...], int]]


def _detour(monkeypatch: pytest.MonkeyPatch, found: Receiver) -> Connections:
    """Lead every connection to `found`; return where they were to lead."""
    made: Connections = []

    def connect(addresses: Sequence[str], port: int, deadline: Deadline) -> tuple[socket.socket, str]:
        made.append((tuple(addresses), port))
        return connections.connect(["127.0.0.1"], found.port, deadline)[0], addresses[0]

    monkeypatch.setattr(sender, "connect", connect)
    return made


def _post_publicly(answers: Sequence[Sequence[str]], tls: ssl.SSLContext | None = None) -> DeliveryResult:
    resolved = iter(answers)
    posting = Sender(resolve=lambda *_: next(resolved), tls=tls)
    return posting.post("https://hooks.example.com/in", headers={}, body=b"{}")


def test_the_checked_address_is_the_one_connected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = certificate(tmp_path, "hooks.example.com")
    with receiver(server) as found:
        connected = _detour(monkeypatch, found)
        response = _post_publicly([[_PUBLIC], ["127.0.0.1"]], client)
    assert (response.status, response.error) == (200, None)
    assert connected == [((_PUBLIC,), 443)]
    assert found.requests[0].headers["host"] == "hooks.example.com"


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = certificate(tmp_path, "other.example.com")
    with receiver(server) as found:
        _detour(monkeypatch, found)
        response = _post_publicly([[_PUBLIC]], client)
    assert response.status is None
    assert "certificate" in (response.error or "")
    assert found.requests == []


def test_a_receiver_without_tls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as found:
        _detour(monkeypatch, found)
        response = _post_publicly([[_PUBLIC]])
    assert (response.status, response.error) == (None, "The TLS handshake failed.")


@pytest.mark.parametrize("internal", ["169.254.169.254", "127.0.0.1", "fd00:ec2::254"])
def test_internal_addresses_are_not_called(internal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "connect", lambda *_: pytest.fail("connected"))
    for answer in ([internal], [_PUBLIC, internal], [internal, _PUBLIC]):
        assert "not public" in (_post_publicly([answer]).error or "")


def test_families_alternate() -> None:
    """A family that this machine or the receiver cannot use costs one step, however many addresses it has."""
    sixes, fours = [f"2606:4700::{number}" for number in range(1, 40)], ["1.1.1.1", "1.0.0.1", "1.1.1.1"]
    found = addresses.resolve_target("https://hooks.example.com/", resolve=lambda *_: [*sixes, *fours]).addresses
    assert found[:5] == (sixes[0], "1.1.1.1", sixes[1], "1.0.0.1", sixes[2])
    assert len(found) == len(set(found)) == 32
