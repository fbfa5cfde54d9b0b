"""One POST to a merchant's endpoint: to a pinned address, without redirects, bounded in time and size."""

import contextlib
import functools
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

import h11

from payments.delivery.addresses import AddressRefused, Resolve, Target, resolve_target, system_resolve
from payments.delivery.connections import STEP_SECONDS, Deadline, connect
from payments.delivery.exchange import Response, ResponseCutOff, exchange

#: Standard Webhooks recommends 15 to 30 seconds; a receiver should only store the message.
TIMEOUT = timedelta(seconds=15)
USER_AGENT = "payments-webhooks/1"


@dataclass(frozen=True, kw_only=True)
class DeliveryResult:
    """The result of one attempt."""

    #: HTTP status, ``None`` without a whole response.
    status: int | None
    #: Why there was no response, for the delivery log; never the receiver's own text.
    error: str | None
    duration: timedelta
    #: What the receiver's ``Retry-After`` asks for.
    retry_after: timedelta | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver accepted the message: any 2xx. A redirect does not count."""
        return self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def gone(self) -> bool:
        """Whether the receiver asks for no more messages."""
        return self.status == HTTPStatus.GONE


@functools.cache
def _public_roots() -> ssl.SSLContext:
    """Return a context that trusts this machine's root certificates, which take some 30 ms to read."""
    return ssl.create_default_context()


class Sender:
    """Delivers to public addresses, and with ``allow_local`` to this machine (for development)."""

    def __init__(
        self,
        *,
        allow_local: bool = False,
        resolve: Resolve = system_resolve,
        tls: ssl.SSLContext | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        self._allow_local = allow_local
        self._resolve = resolve
        self._tls = tls or _public_roots()
        # Set by default in some releases of Python: a connection that is cut would pass for one that is closed.
        self._tls.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        self._timeout = timeout.total_seconds()

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> DeliveryResult:
        """Send ``body`` once. Whatever goes wrong outside is part of the result."""
        started = time.monotonic()
        response: Response | None = None
        error: str | None = None
        try:
            response = self._send(url, headers, body, Deadline(self._timeout))
        except AddressRefused as refused:
            error = str(refused)
        except ssl.SSLCertVerificationError:
            error = "The receiver's certificate is not valid for its name."
        except ssl.SSLError:
            error = "The TLS handshake failed."
        except TimeoutError:
            error = f"No complete response within {self._timeout:g} seconds."
        except h11.RemoteProtocolError:
            error = "The response is not HTTP."
        except ResponseCutOff:
            error = "The response ended early."
        except OSError:
            error = "The connection failed."
        return DeliveryResult(
            status=response.status if response else None,
            error=error,
            duration=timedelta(seconds=time.monotonic() - started),
            retry_after=_retry_after(response.headers.get(b"retry-after")) if response else None,
        )

    def _send(self, url: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Response:
        """Try one address after the other, until one responds: some of a name's addresses may be dead."""
        target = resolve_target(url, allow_local=self._allow_local, resolve=self._resolve)
        request = _request(target, headers, body)
        left = list(target.addresses)
        while True:
            connected, address = connect(left, target.port, deadline)
            left.remove(address)
            with contextlib.closing(connected):
                try:
                    with contextlib.closing(self._secure(connected, target, deadline)) as secured:
                        return exchange(secured, request, body, deadline)
                except OSError:
                    if not left:
                        raise

    def _secure(self, connected: socket.socket, target: Target, deadline: Deadline) -> socket.socket:
        if not target.tls:
            return connected
        connected.settimeout(min(STEP_SECONDS, deadline.left()))
        try:
            return self._tls.wrap_socket(connected, server_hostname=target.host, suppress_ragged_eofs=False)
        except TimeoutError as error:
            deadline.left()
            raise ssl.SSLError("the handshake took too long") from error


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> h11.Request:
    """Return the POST; the port is omitted from the Host header where the scheme implies it."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    implied = 443 if target.tls else 80
    fields = {
        "Host": host if target.port == implied else f"{host}:{target.port}",
        "User-Agent": USER_AGENT,
        "Content-Length": str(len(body)),
        **headers,
    }
    return h11.Request(method="POST", target=target.path, headers=list(fields.items()))


def _retry_after(value: bytes | None) -> timedelta | None:
    """Return the delay of a ``Retry-After`` in seconds, at most a day. The date form is ignored."""
    if value is None or not value.isdigit():
        return None
    return timedelta(seconds=min(int(value[:9]), 86_400))
