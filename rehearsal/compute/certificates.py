"""The rehearsal's certificate authority: the one root that clients of the local load balancers and databases trust."""

import datetime as dt
import hashlib
import ipaddress
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK_NAMES = ("localhost", "127.0.0.1")
"""Every leaf is valid for these."""

_LIFETIME = dt.timedelta(days=30)
_RENEW_BEFORE = dt.timedelta(days=1)
_BACKDATED = dt.timedelta(hours=1)
_MAX_COMMON_NAME = 64


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A server certificate with its key, both PEM files."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """Return a context for servers: TLS 1.2 or newer, this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


class CertificateAuthority:
    """A root in `directory`, made on first use and kept between runs, so that a user need trust it only once.

    The key never leaves the machine: its file is readable by its owner only.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.certificate = directory / "ca.pem"
        self._key = directory / "ca-key.pem"
        directory.mkdir(parents=True, exist_ok=True)
        if not self._is_usable():
            self._create()

    def issue(self, names: Iterable[str] = ()) -> Leaf:
        """Issue a certificate for the loopback names and `names` (host names or IP addresses)."""
        all_names = list(dict.fromkeys([*LOOPBACK_NAMES, *names]))
        stem = self._directory / ("leaf-" + hashlib.sha256("\n".join(all_names).encode()).hexdigest()[:16])
        leaf = Leaf(certificate=stem.with_suffix(".pem"), key=stem.with_suffix(".key"))
        authority = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        authority_key = _load_key(self._key)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(all_names[0]), authority.subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in all_names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        _write(leaf.key, _key_pem(key), private=True)
        _write(leaf.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        return leaf

    def client_context(self) -> ssl.SSLContext:
        """Return a context for clients that trust this authority and nobody else."""
        return ssl.create_default_context(cafile=self.certificate)

    def _is_usable(self) -> bool:
        if not (self.certificate.exists() and self._key.exists()):
            return False
        certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        return certificate.not_valid_after_utc - _RENEW_BEFORE > _now()

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Payment pipeline rehearsal CA")
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(self._key, _key_pem(key), private=True)
        _write(self.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_MAX_COMMON_NAME])])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = _now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds no elliptic-curve key; delete its folder, it will be made anew")
    return key


def _write(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write through a temporary file, so that nobody ever reads half a certificate."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600 if private else 0o644)
    temporary.write_bytes(content)
    temporary.replace(path)
