"""One root to trust, and certificates that are valid for what they were issued for."""

import datetime as dt
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from rehearsal.host import certificates
from rehearsal.host.certificates import CertificateAuthority


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_leaf_is_valid_for_loopback_and_its_names(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    leaf = load(authority.issue(["alb.example", "127.5.6.7"]).certificate)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "alb.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "127.5.6.7"]
    leaf.verify_directly_issued_by(load(authority.certificate))
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_long_names_fit(tmp_path: Path) -> None:
    name = f"{'a' * 60}.{'b' * 60}.example"
    leaf = load(CertificateAuthority(tmp_path).issue([name]).certificate)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert name in names.get_values_for_type(x509.DNSName)


def test_the_root_is_kept_between_runs(tmp_path: Path) -> None:
    first = CertificateAuthority(tmp_path).certificate.read_bytes()
    assert CertificateAuthority(tmp_path).certificate.read_bytes() == first


def test_a_root_that_is_about_to_expire_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = CertificateAuthority(tmp_path).certificate.read_bytes()
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=29, hours=1)
    monkeypatch.setattr(certificates, "_now", lambda: later)
    assert CertificateAuthority(tmp_path).certificate.read_bytes() != first


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    leaf = authority.issue()
    assert isinstance(load(leaf.certificate).public_key(), ec.EllipticCurvePublicKey)
    for key in (leaf.key, tmp_path / "ca-key.pem"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
