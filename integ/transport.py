"""Transport security: TLS, its certificate, and only a redirect over plain HTTP."""

import socket
import ssl
import warnings
from urllib.parse import urlsplit

import requests

from integ.client import TIMEOUT, ApiClient, CheckError, SkippedError, require
from integ.settings import Settings


def certificate(client: ApiClient) -> None:
    """The certificate is trusted, valid and for this host, over TLS 1.2 or newer."""
    settings = client.settings
    context = ssl.create_default_context(cafile=settings.ca_bundle or requests.utils.DEFAULT_CA_BUNDLE_PATH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        _handshake(settings, context)
    except ssl.SSLCertVerificationError as error:
        raise CheckError(f"the certificate of {settings.host}:{settings.port} is rejected: {error}") from error
    except OSError as error:
        raise CheckError(f"no TLS 1.2 or newer with {settings.host}:{settings.port}: {error}") from error


def old_tls(client: ApiClient) -> None:
    """TLS 1.1 is rejected."""
    settings = client.settings
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only the version is checked here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    except (ValueError, ssl.SSLError) as error:
        raise SkippedError(f"this machine's OpenSSL cannot offer TLS 1.1: {error}") from error
    try:
        version = _handshake(settings, context)
    except ssl.SSLError as error:
        if error.reason == "NO_PROTOCOLS_AVAILABLE":
            raise SkippedError("this machine's OpenSSL cannot offer TLS 1.1") from error
    except ConnectionError:
        pass  # rejected without an alert
    else:
        raise CheckError(f"{settings.host}:{settings.port} accepts {version}")


def plain_http(client: ApiClient) -> None:
    """Plain HTTP gets a permanent redirect to HTTPS, and nothing else."""
    if client.settings.http_url is None:
        raise SkippedError("BASE_URL has a port and HTTP_URL is not set, so the plain HTTP listener is unknown")
    response = client.fetch("GET", f"{client.settings.http_url}/healthz")
    require(response.status_code in (301, 308), f"want a permanent redirect, got status {response.status_code}")
    target = urlsplit(response.headers.get("Location", ""))
    require(target.scheme == "https", f"want a redirect to https, got {response.headers.get('Location')!r}")
    require(target.path == "/healthz", f"the redirect loses the path: {response.headers.get('Location')!r}")


def _handshake(settings: Settings, context: ssl.SSLContext) -> str | None:
    """Return the TLS version that a handshake negotiates."""
    with (
        socket.create_connection((settings.host, settings.port), timeout=TIMEOUT[0]) as connection,
        context.wrap_socket(connection, server_hostname=settings.server_name or settings.host) as secured,
    ):
        return secured.version()
