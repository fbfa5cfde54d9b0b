"""A client that sends bytes instead of requests: what libraries refuse to send is what an attacker sends."""

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One response. `closed` says whether the server closed the connection after it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def trusting() -> ssl.SSLContext:
    """A context for the server's own certificate, which nobody vouches for."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


_CONTEXT = trusting()


class Wire:
    """One TLS connection."""

    def __init__(self, port: int, *, timeout: float = _TIMEOUT_SECONDS) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        try:
            self.socket = _CONTEXT.wrap_socket(plain, suppress_ragged_eofs=True)
        except BaseException:
            plain.close()
            raise
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self.socket.sendall(data)

    def answer(self, *, head_only: bool = False) -> Answer | None:
        """Read one final response; None if the connection ends without one."""
        while True:
            head = self._until(b"\r\n\r\n")
            if head is None:
                return None
            line, *lines = head.decode("latin-1").split("\r\n")
            status = int(line.split(" ")[1])
            if status >= 200:
                break
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = 0 if head_only or status in (204, 304) else int(headers.get("content-length", "0"))
        while len(self._received) < length and self._receive():
            pass
        body, self._received = self._received[:length], self._received[length:]
        return Answer(status=status, headers=headers, body=body)

    def seconds_until_closed(self, limit: float = _TIMEOUT_SECONDS) -> float | None:
        """Wait for the end of the connection; None if it is still open after `limit` seconds."""
        begun = time.monotonic()
        self.socket.settimeout(limit)
        try:
            while self._receive():
                pass
        except TimeoutError:
            return None
        return time.monotonic() - begun

    def line(self) -> bytes | None:
        """Read one line and the empty one after it: an interim response."""
        return self._until(b"\r\n\r\n")

    def receive(self) -> bool:
        """Read what there is; False at the end of the connection.

        Raises:
            TimeoutError: Nothing arrived in time.
        """
        return self._receive()

    def _until(self, end: bytes) -> bytes | None:
        while end not in self._received:
            if not self._receive():
                return None
        found, _, self._received = self._received.partition(end)
        return found

    def _receive(self) -> bool:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            chunk = self.socket.recv(65_536)
            self._received += chunk
            return bool(chunk)
        return False
