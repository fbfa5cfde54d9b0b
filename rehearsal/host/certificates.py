"""The certificate authority that signs for the local load balancers and databases."""

import ssl
from pathlib import Path

import trustme

#: Every certificate is valid for these names.
LOOPBACK_NAMES = ("localhost", "127.0.0.1")


class CertificateAuthority:
    """An authority whose root certificate is kept in `directory`, so that users need to trust it only once.

    Only the owner of the key file can read it.
    """

    def __init__(self, directory: Path) -> None:
        self.certificate = directory / "ca.pem"
        key = directory / "ca.key"
        if self.certificate.exists() and key.exists():
            self._authority = trustme.CA.from_pem(self.certificate.read_bytes(), key.read_bytes())
            return
        directory.mkdir(parents=True, exist_ok=True)
        self._authority = trustme.CA(organization_name="Rehearsal")
        key.touch(mode=0o600)
        key.write_bytes(self._authority.private_key_pem.bytes())
        self._authority.cert_pem.write_to_path(self.certificate)

    def issue(self, *names: str) -> trustme.LeafCert:
        """Issue a certificate for the loopback names and for `names` (host names or IP addresses)."""
        return self._authority.issue_cert(*dict.fromkeys([*LOOPBACK_NAMES, *names]))

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Return a TLS context (1.2 or newer) for a server with these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.issue(*names).configure_cert(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a TLS context for clients that trust only this authority."""
        return ssl.create_default_context(cafile=self.certificate)
