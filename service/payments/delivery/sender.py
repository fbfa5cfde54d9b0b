"""One signed POST to one merchant's endpoint: pinned address, no redirects, bounded in time and size."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from payments.delivery.addresses import AddressRefused, Resolve, Target, system_resolve, target

#: The specification advises 15 to 30 seconds; a receiver should only store the message.
TIMEOUT = timedelta(seconds=15)
_CONNECT_SECONDS = 5.0
USER_AGENT = "payments-webhooks/1"


@dataclass(frozen=True, kw_only=True)
class DeliveryResult:
    """What became of one attempt."""

    #: HTTP status, ``None`` when there was no answer.
    status: int | None
    #: Why there was none, for the delivery log; never the receiver's words.
    error: str | None
    duration: timedelta
    retry_after: timedelta | None = None


class Sender:
    """Delivers to public addresses, and to this machine when ``allow_local`` (development only)."""

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
        """Send ``body`` once. Whatever goes wrong is in the answer: an attempt is never an exception."""
        started = time.monotonic()
        status: int | None = None
        error: str | None = None
        retry_after: timedelta | None = None
        try:
            found = target(url, allow_local=self._allow_local, resolve=self._resolve)
            status, retry_after = self._exchange(found, headers, body)
        except AddressRefused as refused:
            error = str(refused)
        except ssl.SSLCertVerificationError:
            error = "The receiver's certificate is not valid for its name."
        except ssl.SSLError:
            error = "The TLS handshake failed."
        except TimeoutError:
            error = f"No answer within {self._timeout:g} seconds."
        except http.client.HTTPException:
            error = "The answer is not HTTP."
        except OSError:
            error = "The connection failed."
        duration = time.monotonic() - started
        if error and duration >= self._timeout:
            error = f"No answer within {self._timeout:g} seconds."
        return DeliveryResult(status=status, error=error, duration=timedelta(seconds=duration), retry_after=retry_after)

    def _exchange(self, found: Target, headers: Mapping[str, str], body: bytes) -> tuple[int, timedelta | None]:
        connection = _PinnedConnection(found, self._tls, self._timeout)
        # A receiver that sends a byte now and then would outlive any time-out per read: cut it off as a whole.
        watchdog = threading.Timer(self._timeout, connection.cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.request("POST", found.path, body=body, headers={**headers, "User-Agent": USER_AGENT})
            response = connection.getresponse()
            return response.status, _retry_after(response.getheader("Retry-After"))
        finally:
            watchdog.cancel()
            connection.close()  # the body is not read: nothing in it matters


class _PinnedConnection(http.client.HTTPConnection):
    """HTTP over a connection to the judged address, with TLS for the host's name."""

    def __init__(self, found: Target, tls: ssl.SSLContext, timeout: float) -> None:
        super().__init__(found.host, found.port, timeout=timeout)
        self._found = found
        self._tls = tls
        self.default_port = 443 if found.tls else 80  # leaves the port out of the Host header where it is implied

    def connect(self) -> None:
        """Connect to the pinned address; the name is not resolved again."""
        connected = socket.create_connection((self._found.address, self._found.port), timeout=_CONNECT_SECONDS)
        connected.settimeout(self.timeout)
        self.sock = connected
        if self._found.tls:
            secured = self._tls.wrap_socket(connected, server_hostname=self._found.host, do_handshake_on_connect=False)
            self.sock = secured  # before the handshake, so that it can be cut off too
            secured.do_handshake()

    def cut(self) -> None:
        """End the exchange from another thread."""
        held = self.sock
        if held is not None:
            with contextlib.suppress(OSError):  # it may have ended by itself
                held.shutdown(socket.SHUT_RDWR)


def _retry_after(value: str | None) -> timedelta | None:
    """The delay form of ``Retry-After``; the date form is ignored, our own schedule serves."""
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return timedelta(seconds=min(int(value[:9]), 86_400))
