"""Certificates of one trusted root."""

import ssl
import stat
from pathlib import Path

import trustme
from cryptography import x509

from rehearsal.host.certificates import CertificateAuthority


def load(leaf: trustme.LeafCert) -> x509.Certificate:
    return x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())


def test_a_certificate_is_valid_for_loopback_and_its_names(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    leaf = load(authority.issue("alb.example", "127.5.6.7"))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "alb.example"}
    assert {str(address) for address in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "127.5.6.7"}
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate.read_bytes()))


def test_the_root_is_kept(tmp_path: Path) -> None:
    first = CertificateAuthority(tmp_path).certificate.read_bytes()
    assert CertificateAuthority(tmp_path).certificate.read_bytes() == first


def test_only_the_owner_can_read_the_key(tmp_path: Path) -> None:
    CertificateAuthority(tmp_path)
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600


def test_servers_need_tls_1_2(tmp_path: Path) -> None:
    assert CertificateAuthority(tmp_path).server_context().minimum_version is ssl.TLSVersion.TLSv1_2
