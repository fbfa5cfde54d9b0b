"""One POST to a merchant's endpoint: to a pinned address, without redirects, bounded in time and size."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from payments.delivery.addresses import AddressRefused, Resolve, Target, resolve_target, system_resolve

#: Standard Webhooks recommends 15 to 30 seconds; a receiver should only store the message.
TIMEOUT = timedelta(seconds=15)
_CONNECT_SECONDS = 5.0
USER_AGENT = "payments-webhooks/1"


@dataclass(frozen=True, kw_only=True)
class DeliveryResult:
    """The result of one attempt."""

    #: HTTP status, ``None`` without a response.
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
        self._tls = tls or ssl.create_default_context()
        self._timeout = timeout.total_seconds()

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> DeliveryResult:
        """Send ``body`` once. Never raises: whatever goes wrong is part of the result."""
        started = time.monotonic()
        status: int | None = None
        error: str | None = None
        retry_after: timedelta | None = None
        try:
            target = resolve_target(url, allow_local=self._allow_local, resolve=self._resolve)
            status, retry_after = self._exchange(target, headers, body)
        except AddressRefused as refused:
            error = str(refused)
        except ssl.SSLCertVerificationError:
            error = "The receiver's certificate is not valid for its name."
        except ssl.SSLError:
            error = "The TLS handshake failed."
        except TimeoutError:
            error = f"No response within {self._timeout:g} seconds."
        except http.client.HTTPException:
            error = "The response is not HTTP."
        except OSError:
            error = "The connection failed."
        duration = time.monotonic() - started
        if error and duration >= self._timeout:
            error = f"No response within {self._timeout:g} seconds."
        return DeliveryResult(status=status, error=error, duration=timedelta(seconds=duration), retry_after=retry_after)

    def _exchange(self, target: Target, headers: Mapping[str, str], body: bytes) -> tuple[int, timedelta | None]:
        connection = _PinnedConnection(target, self._tls, self._timeout)
        # A receiver that sends a byte now and then would outlast any time-out of a read: limit the exchange as a whole.
        timer = threading.Timer(self._timeout, connection.abort)
        timer.daemon = True
        timer.start()
        try:
            connection.request("POST", target.path, body=body, headers={**headers, "User-Agent": USER_AGENT})
            response = connection.getresponse()
            return response.status, _retry_after(response.getheader("Retry-After"))
        finally:
            timer.cancel()
            connection.close()  # without reading the body, which does not matter


class _PinnedConnection(http.client.HTTPConnection):
    """HTTP over a connection to the checked address, with TLS for the name of the host."""

    def __init__(self, target: Target, tls: ssl.SSLContext, timeout: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout)
        self._target = target
        self._tls = tls
        self.default_port = 443 if target.tls else 80  # omits the port from the Host header where it is implied

    def connect(self) -> None:
        """Connect to the pinned address, without resolving the name again."""
        connected = socket.create_connection((self._target.address, self._target.port), timeout=_CONNECT_SECONDS)
        connected.settimeout(self.timeout)
        self.sock = connected
        if self._target.tls:
            secured = self._tls.wrap_socket(connected, server_hostname=self._target.host, do_handshake_on_connect=False)
            self.sock = secured  # before the handshake, so that it can be aborted too
            secured.do_handshake()

    def abort(self) -> None:
        """Abort the exchange from another thread."""
        current = self.sock
        if current is not None:
            with contextlib.suppress(OSError):  # it may have ended already
                current.shutdown(socket.SHUT_RDWR)


def _retry_after(value: str | None) -> timedelta | None:
    """Return the delay of a ``Retry-After`` in seconds, at most a day. The date form is ignored."""
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return timedelta(seconds=min(int(value[:9]), 86_400))
